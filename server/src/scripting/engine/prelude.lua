-- What stands between a script and Lua's own functions. Loaded once per Lua state with
--   real     Lua's globals, which no script ever sees
--   native   functions written in Rust
--   globals  the table that scripts get as _G: an empty one, guarded here
-- Everything a script could change for the next one is read-only, as in Redis. Lua 5.1 has no
-- read-only tables, so a guarded table is an empty one in front of the real one: reading goes
-- through, writing finds the key absent and raises. The functions that could tell the difference
-- (or write without asking the metatable) are replaced.
local real, native, globals = ...

local error, type, select = real.error, real.type, real.select
local tostring, tonumber = real.tostring, real.tonumber
local next, rawget, rawset = real.next, real.rawget, real.rawset
local setmetatable, getmetatable = real.setmetatable, real.getmetatable
local setfenv, getfenv = real.setfenv, real.getfenv
local pcall, xpcall = real.pcall, real.xpcall
local unwrap = native.unwrap

local READONLY = "Attempt to modify a readonly table"

-- guarded table -> the table behind it
local behind = {}
-- guarded table -> what getmetatable shows of it
local shown = {}
local function deny()
  error(READONLY, 2)
end

-- Guards `table`; `front` is the empty table to use, a new one by default.
local function guard(table, front)
  front = setmetatable(front or {}, { __index = table, __newindex = deny })
  behind[front] = table
  return front
end

-- __index of tables in which an unknown name is a mistake.
local function missing(_, name)
  if type(name) ~= "string" and type(name) ~= "number" then
    error("Second argument to luaProtectedTableError must be a string or number", 2)
  end
  error("Script attempted to access nonexistent global variable '" .. name .. "'", 2)
end

local function wrong_type(argument, name, expected, value, count)
  local found = count >= argument and type(value) or "no value"
  local text = "bad argument #" .. argument .. " to '" .. name .. "' (" .. expected
  error(text .. " expected, got " .. found .. ")", 3)
end

-- The value of an error, as scripts know it: functions in Rust raise objects of their own.
local function plain(err)
  if type(err) == "userdata" then
    return unwrap(err)
  end
  return err
end

local api = {}

-- Whatever catches an error asks whether it was to stop the script, and passes it on then: each
-- coroutine counts its own instructions, and one that makes new ones need not live to be asked.
local function caught(ok, ...)
  if ok then
    return true, ...
  end
  native.pass_on_stop()
  local err = plain((...))
  -- Before Redis 7 errors were strings, and scripts rely on it.
  if type(err) == "table" then
    local text = err.err
    if type(text) == "string" or type(text) == "number" then
      err = text
    end
  end
  return false, err
end

function api.pcall(...)
  if select("#", ...) == 0 then
    return false
  end
  return caught(pcall(...))
end

local function resumed(ok, ...)
  if ok then
    return true, ...
  end
  native.pass_on_stop()
  return false, plain((...))
end

-- A handler runs where the error was raised. When that was to stop the script, nothing would stop
-- the handler.
function api.xpcall(body, handler)
  return resumed(xpcall(body, function(err)
    native.pass_on_stop()
    return handler(plain(err))
  end))
end

local resume = real.coroutine.resume

local function coroutine_resume(...)
  return resumed(resume(...))
end

function api.next(...)
  local table, key = ...
  if type(table) ~= "table" then
    wrong_type(1, "next", "table", table, select("#", ...))
  end
  return next(behind[table] or table, key)
end

function api.pairs(...)
  local table = ...
  if type(table) ~= "table" then
    wrong_type(1, "pairs", "table", table, select("#", ...))
  end
  return behind[table] and api.next or next, table, nil
end

function api.rawget(...)
  local table, key = ...
  if type(table) ~= "table" then
    wrong_type(1, "rawget", "table", table, select("#", ...))
  end
  return rawget(behind[table] or table, key)
end

function api.rawset(...)
  local table, key, value = ...
  if type(table) ~= "table" then
    wrong_type(1, "rawset", "table", table, select("#", ...))
  elseif behind[table] then
    error(READONLY, 0)
  end
  return rawset(table, key, value)
end

function api.setmetatable(...)
  local table, metatable = ...
  local count = select("#", ...)
  if type(table) ~= "table" then
    wrong_type(1, "setmetatable", "table", table, count)
  elseif count < 2 or (metatable ~= nil and type(metatable) ~= "table") then
    error("bad argument #2 to 'setmetatable' (nil or table expected)", 2)
  elseif behind[table] then
    error(READONLY, 0)
  end
  return setmetatable(table, metatable)
end

function api.getmetatable(value)
  if type(value) == "string" then
    return shown[api]
  elseif behind[value] then
    return shown[value]
  end
  return getmetatable(value)
end

-- The function at a level of the caller's, without the frames of this file in between.
local function at_level(level, name)
  if level < 0 then
    error("bad argument #1 to '" .. name .. "' (level must be non-negative)", 3)
  end
  local found = native.function_at(level + 2)
  if not found then
    error("bad argument #1 to '" .. name .. "' (invalid level)", 3)
  end
  return found
end

-- The environments of this file's functions are nobody's business.
function api.getfenv(target)
  if target == nil then
    target = 1
  end
  if type(target) == "number" then
    if target == 0 then
      return globals
    end
    target = at_level(target, "getfenv")
  end
  if type(target) ~= "function" or native.is_own(target) then
    return globals
  end
  return getfenv(target)
end

-- The environment of the whole state (level 0) would outlive the script.
function api.setfenv(target, table)
  if type(table) ~= "table" then
    wrong_type(2, "setfenv", "table", table, 2)
  end
  if type(target) == "number" and target ~= 0 then
    target = at_level(target, "setfenv")
  end
  if type(target) ~= "function" or native.is_own(target) or not pcall(setfenv, target, table) then
    error("'setfenv' cannot change environment of given object", 2)
  end
  return target
end

-- More results than the stack of Lua takes; the bounds of the original overflow.
local MOST_RESULTS = 7999

local unpack = real.unpack

function api.unpack(...)
  local table, first, last = ...
  if type(table) ~= "table" then
    wrong_type(1, "unpack", "table", table, select("#", ...))
  end
  local from = first == nil and 1 or tonumber(first)
  local to = last == nil and #table or tonumber(last)
  if from and to and to - from >= MOST_RESULTS then
    error("too many results to unpack", 2)
  end
  return unpack(...)
end

-- The collector is the server's: a script may ask it to run, not to stop.
local collectgarbage = real.collectgarbage

function api.collectgarbage(option, argument)
  if option == "stop" or option == "restart" then
    return 0
  elseif option == "setpause" or option == "setstepmul" then
    return 200
  end
  return collectgarbage(option, argument)
end

-- Functions of `table` that write without asking the metatable.
local function guarded_writer(name)
  local write = real.table[name]
  return function(...)
    if behind[(...)] then
      error(READONLY, 0)
    end
    return write(...)
  end
end

-- Patterns are matched in Rust, which asks whether to go on. Functions of the script are called from
-- here, so that their errors stay what they are.
local pattern = native.pattern
local search, sub, concat = pattern.search, real.string.sub, real.table.concat
local huge = real.math.huge

local function gmatch(...)
  local text, wanted = pattern.texts(...)
  local from = 1
  local function found(first, after, ...)
    if first then
      from = after > first and after or after + 1
      return ...
    end
  end
  return function()
    return found(search(text, wanted, from))
  end
end

-- Where a match begins, where the rest does, and what is to replace it.
local function replacement(replace, first, after, ...)
  if not first then
    return nil
  elseif type(replace) == "function" then
    return first, after, (replace(...))
  end
  return first, after, replace[(...)]
end

-- Pieces that are put together as one.
local PIECES = 4096

local function gsub(...)
  local text, wanted, replace, most = ...
  if type(replace) ~= "function" and type(replace) ~= "table" then
    return pattern.gsub(...)
  end
  text, wanted = pattern.texts(...)
  local limit = most == nil and huge or tonumber(most)
  if not limit then
    wrong_type(4, "gsub", "number", most, 4)
  end
  local anchored, once = sub(wanted, 1, 1) == "^", type(replace) == "table"
  local done, pieces, count, from = {}, {}, 0, 1
  while count + 1 <= limit do
    local first, after, value = replacement(replace, search(text, wanted, from, true, once))
    if not first then
      break
    end
    count = count + 1
    if not value then
      value = sub(text, first, after - 1)
    elseif type(value) ~= "string" and type(value) ~= "number" then
      error("invalid replacement value (a " .. type(value) .. ")", 2)
    end
    local piece = sub(text, from, first - 1) .. value
    from = after
    if after == first then
      piece = piece .. sub(text, after, after)
      from = after + 1
    end
    pieces[#pieces + 1] = piece
    if #pieces == PIECES then
      done[#done + 1] = concat(pieces)
      pieces = {}
    end
    if anchored then
      break
    end
  end
  pieces[#pieces + 1] = sub(text, from)
  done[#done + 1] = concat(pieces)
  return concat(done), count
end

local function copied(from)
  local copy = {}
  for name, value in next, from do
    copy[name] = value
  end
  return copy
end

local libraries = {
  string = copied(real.string),
  table = copied(real.table),
  math = copied(real.math),
  coroutine = copied(real.coroutine),
  os = { clock = real.os.clock },
}
for _, name in next, { "insert", "remove", "sort", "setn" } do
  libraries.table[name] = guarded_writer(name)
end

-- Without a function that compares, sorting is all C's, and takes the square of the length of what is
-- in the worst order.
local UNASKED = 1000
local sort = libraries.table.sort

local function less(a, b)
  return a < b
end

function libraries.table.sort(...)
  local table, before = ...
  if before == nil and type(table) == "table" and #table > UNASKED then
    return sort(table, less)
  end
  return sort(...)
end

for _, name in next, { "foreach", "foreachi" } do
  local each = real.table[name]
  libraries.table[name] = function(table, visit)
    return each(behind[table] or table, visit)
  end
end
libraries.string.find, libraries.string.match = pattern.find, pattern.match
libraries.string.rep = native.rep
libraries.string.gmatch, libraries.string.gfind, libraries.string.gsub = gmatch, gmatch, gsub
libraries.coroutine.resume = coroutine_resume
-- Each coroutine counts its own instructions: many short ones would never be asked to end.
for _, name in next, { "create", "wrap" } do
  local make = real.coroutine[name]
  libraries.coroutine[name] = function(body)
    native.count_coroutine()
    return make(body)
  end
end
libraries.math.random, libraries.math.randomseed = native.random, native.randomseed
for name, library in next, native.libraries do
  libraries[name] = library
end

-- The error a client sees: what was raised and the line of the script that did.
local function on_error(err)
  err = plain(err)
  local source, line = native.place()
  if type(err) ~= "table" then
    err = { err = "ERR " .. tostring(err) }
  end
  if source and not behind[err] then
    err.source = source
    err.line = line
  end
  return err
end

-- Builds the real globals of scripts.
local function world(more)
  local names = {
    "assert", "error", "gcinfo", "ipairs", "rawequal", "select", "tonumber", "tostring", "type",
    "_VERSION",
  }
  local table = {}
  for _, name in next, names do
    table[name] = real[name]
  end
  for name, value in next, api do
    table[name] = value
  end
  for name, library in next, libraries do
    table[name] = guard(library)
  end
  table.load, table.loadstring = native.load, native.loadstring
  table._G = globals
  for name, value in next, more do
    table[name] = value
  end
  return setmetatable(table, { __index = missing })
end

-- Strings find their methods in the guarded library, and their metatable cannot be changed.
local strings = guard(libraries.string)
getmetatable("").__index = libraries.string
shown[api] = guard({ __index = strings })

-- Valkey calls it `server`; scripts for either run.
local redis = guard(native.redis)
local main = world({
  redis = redis,
  server = redis,
  __redis__err__handler = native.is_eval and on_error or nil,
})

-- While a library loads it finds nothing but the means to register its functions.
local registering = guard(setmetatable(native.registering, { __index = missing }))
local loading = setmetatable(
  { redis = registering, server = registering },
  { __index = missing }
)

guard(main, globals)
shown[globals] = guard({ __index = missing })

local metatable = getmetatable(globals)

return {
  main = main,
  on_error = on_error,
  xpcall = xpcall,
  -- Which names the globals show: those of a running function, or those of a loading library.
  enter_loading = function()
    metatable.__index = loading
  end,
  leave_loading = function()
    metatable.__index = main
  end,
  -- A function as xpcall takes it: without arguments.
  bind = function(body, keys, args)
    return function()
      return body(keys, args)
    end
  end,
}
