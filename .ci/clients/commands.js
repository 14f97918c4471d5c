// Reads commands.txt for the Node clients.
'use strict';
const fs = require('fs');
const path = require('path');
const { isDeepStrictEqual } = require('util');

function read(reference) {
  const lines = [];
  for (let text of fs.readFileSync(path.join(__dirname, 'commands.txt'), 'utf8').split('\n')) {
    if (!text || text.startsWith('#')) continue;
    const mark = ['since 7.2 ', 'newer '].find((m) => text.startsWith(m));
    if (mark && reference) continue;
    if (mark) text = text.slice(mark.length);
    const at = text.indexOf(' => ');
    const args = text.slice(0, at).split(' ');
    lines.push({
      args: args.map((a) => (a === '""' ? '' : a.replaceAll('\\s', ' '))),
      want: text.slice(at + 4),
    });
  }
  if (lines.length < 120) throw new Error('commands.txt was not read');
  return lines;
}

function check(line, reply, who) {
  let ok;
  if (line.want.startsWith('!')) ok = reply instanceof Error && reply.message.startsWith(line.want.slice(1));
  else if (reply instanceof Error) ok = false;
  else ok = line.want === '*' || isDeepStrictEqual(reply, JSON.parse(line.want));
  if (!ok) {
    const got = reply instanceof Error ? `-${reply.message}` : JSON.stringify(reply);
    throw new Error(`${who}: ${line.args.join(' ')}: wanted ${line.want}, got ${got}`);
  }
}

// Runs the whole list through a function that sends one raw command.
async function runAll(send, who, reference) {
  for (const line of read(reference)) {
    const reply = await Promise.resolve(send(line.args)).catch((e) => e);
    check(line, reply, who);
  }
}

module.exports = { runAll };
