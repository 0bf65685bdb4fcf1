-- Regular expressions: what `ngx.re` and `gateway.re` have in common.
local pl = ...
local C, window, text = pl.C, pl.window, pl.text
local find, name_of = C.re_find, C.re_name
local sub, bor, band = string.sub, bit.bor, bit.band
local new, clear = table.new, table.clear
local buffer = require "string.buffer"

local regex = {}

-- As in regex/flags.rs. U is u: a subject is looked at before PCRE2 takes it for UTF-8.
local FLAGS = {
  a = 0x1, i = 0x2, s = 0x4, m = 0x8, u = 0x10, U = 0x10, x = 0x20, D = 0x40, J = 0x80,
  d = 0x100, j = 0x200, o = 0x400,
}
local CHECKED, NAMES = 0x800, 0x40
local KNOWN_MAX = 256

local known, count = {}, 0

-- A string of flags as a number, or nil and the letter that is none.
function regex.flags(letters)
  local flags = known[letters]
  if flags then return flags end
  flags = 0
  for index = 1, #letters do
    local letter = sub(letters, index, index)
    local flag = FLAGS[letter]
    if not flag then return nil, letter end
    flags = bor(flags, flag)
  end
  if count == KNOWN_MAX then
    clear(known)
    count = 0
  end
  known[letters], count = flags, count + 1
  return flags
end

-- The flags of a search that goes on in the same subject.
function regex.further(flags) return (bor(flags, CHECKED)) end

-- Groups by their names; with D, those of one name that have matched, in a list.
local function collect_names(names, flags, captures)
  local lists = band(flags, NAMES) ~= 0
  for index = 0, names - 1 do
    local group = captures[name_of(window, index)]
    local name = text(window.ptr, window.len)
    if not lists then
      captures[name] = group
    elseif group then
      local list = captures[name]
      if list then list[#list + 1] = group else captures[name] = { group } end
    end
  end
end

local function capture(subject, groups, index)
  local from = groups[2 * index]
  if from < 0 then return false end
  return (sub(subject, from + 1, groups[2 * index + 1]))
end

-- The captures of the match that was just found; false where a group has not matched. Few groups
-- need no loop: one of few rounds does not compile into its caller's trace.
local function collect(subject, flags, captures)
  local last, names, groups = window.len2, window.num, window.groups
  if not captures then captures = new(last, names) end
  captures[0] = capture(subject, groups, 0)
  if last > 0 then captures[1] = capture(subject, groups, 1) end
  if last > 1 then captures[2] = capture(subject, groups, 2) end
  if last > 2 then captures[3] = capture(subject, groups, 3) end
  if last > 3 then
    for index = 4, last do captures[index] = capture(subject, groups, index) end
  end
  if names > 0 then collect_names(names, flags, captures) end
  return captures
end
regex.collect = collect

-- Replaces matches by what `with` makes of their captures; false: the match stays. How many it
-- were, or the code of a failure. The loop is here, so that `with` may wait.
function regex.replace_by(subject, pattern, flags, with, once)
  local length, out, count, copied, start = #subject, nil, 0, 0, 0
  while start <= length do
    local matched = find(window, pattern, #pattern, flags, subject, length, start)
    if matched < 0 then return nil, matched end
    if matched == 0 then break end
    local from, to = window.from, window.to
    start, count = window.len, count + 1
    if not out then out = buffer.new() end
    out:put(sub(subject, copied + 1, from))
    local piece = with(collect(subject, flags))
    out:put(piece == false and sub(subject, from + 1, to) or piece)
    copied, flags = to, bor(flags, CHECKED)
    if once then break end
  end
  if not out then return subject, 0 end
  out:put(sub(subject, copied + 1))
  return out:tostring(), count
end

-- The pieces between matches, with the first group of each where it has matched; into `pieces`,
-- from the byte `at` on (0 is the first). An empty match splits between characters, not before
-- the first; at most `max` pieces, or empty ones at the end are left out.
function regex.split(subject, pattern, flags, max, at, pieces)
  local length, filled, begin, start, done = #subject, 0, at, at, 0
  while done + 1 ~= max and start <= length do
    local matched = find(window, pattern, #pattern, flags, subject, length, start)
    if matched < 0 then return nil, matched end
    if matched == 0 then break end
    local from, to = window.from, window.to
    start = window.len
    if to > from or from > begin then
      done, filled = done + 1, filled + 1
      pieces[filled] = sub(subject, begin + 1, from)
      local groups = window.groups
      if matched > 1 and groups[2] >= 0 then
        filled = filled + 1
        pieces[filled] = sub(subject, groups[2] + 1, groups[3])
      end
      begin = to
    end
    flags = bor(flags, CHECKED)
    if begin >= length then break end
  end
  if max or begin < length then
    filled = filled + 1
    pieces[filled] = sub(subject, begin + 1)
  else
    while filled > 0 and pieces[filled] == "" do
      pieces[filled] = nil
      filled = filled - 1
    end
  end
  pieces[filled + 1] = nil
  return pieces
end

return regex
