-- Runs first in every VM. `pl` is the host's table; later files add to it. Scripts never see it.
local pl = ...
local ffi = require "ffi"

-- As in window.rs, field for field.
ffi.cdef [[
typedef struct pl_window {
  double serial;
  const char *ptr;
  const char *ptr2;
  double num;
  int len;
  int len2;
  int from;
  int to;
  int at[32];
  int size[32];
  int phase;
  int allowed;
  const int *groups;
} pl_window;
]]

pl.window = ffi.cast("pl_window *", pl.window)
local C, types = {}, {}
for name, fast in pairs(pl.fast) do
  -- Many share a type; parsing one takes microseconds.
  local kind = types[fast[1]]
  if not kind then
    kind = ffi.typeof(fast[1])
    types[fast[1]] = kind
  end
  C[name] = ffi.cast(kind, fast[2])
end
pl.C = C
pl.text = ffi.string

-- Whole numbers past 2^53, which a number can't hold: from two halves to LuaJIT's own, and back.
local int64, uint64 = ffi.typeof("int64_t"), ffi.typeof("uint64_t")
function pl.long(high, low, signed)
  if low then
    local long = uint64(high) * 0x100000000ULL + uint64(low)
    return signed and int64(long) or long
  end
  local long, is_signed = high, ffi.istype(int64, high)
  if not is_signed and not ffi.istype(uint64, long) then return nil end
  long = uint64(long)
  return tonumber(long / 0x100000000ULL), tonumber(long % 0x100000000ULL), is_signed
end

-- Operations that wait, by number, as in wait.rs.
pl.SLEEP, pl.BODY, pl.FETCH, pl.TAKE = 1, 2, 3, 4
pl.START, pl.ANY, pl.OTHERS, pl.KILL, pl.EXIT, pl.TURN, pl.READ, pl.YIELD =
  5, 6, 7, 8, 9, 10, 11, 12

-- What a coroutine yields first when it waits for the host.
pl.yield = coroutine.yield

-- A part of the prelude that few scripts need runs when the first asks for it; what it returns is
-- kept. `pl.part("ngx/re")` is the file `ngx/re.lua`, run with `pl`. A script that is the first to
-- ask does not pay for it: on a small machine the parts of a dialect take longer than its limit.
local parts = {}
local function load_part(name)
  local part = pl.slow.part(name)(pl)
  if part == nil then part = true end
  parts[name] = part
  return part
end

local pcall, error, at_work = pcall, error, false
function pl.part(name)
  local part = parts[name]
  if part ~= nil then return part end
  if at_work then return load_part(name) end
  at_work = true
  pl.slow.own_work(true)
  local ok, loaded = pcall(load_part, name)
  pl.slow.own_work(false)
  at_work = false
  if not ok then error(loaded, 0) end
  return loaded
end

-- A VM's machine code stays near 1 MiB; the default is 2.
require("jit.opt").start("maxmcode=1024")
math.randomseed(pl.seed)

-- The manifest grants `ffi` to scripts, or not.
pl.ffi = pl.ffi and ffi
-- The same with `io`: files, but no processes.
pl.io = pl.io and io
if pl.io then io.popen = nil end
