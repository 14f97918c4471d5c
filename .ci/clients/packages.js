// The packages of the Node clients live in a scratch folder, not beside these files.
'use strict';
const fs = require('fs');
const { createRequire } = require('module');

const folder = process.env.CLIENTS_DIR;
const from = createRequire(`${folder}/package.json`);
const version = (name) => JSON.parse(fs.readFileSync(`${folder}/node_modules/${name}/package.json`, 'utf8')).version;

module.exports = { from, version, port: Number(process.argv[2]) };
