-- kong.pdk.private.phases: where each function of the PDK may be called.
local bit = require "bit"
local _, dialect = ...

local band, bor, lshift = bit.band, bit.bor, bit.lshift
local error, pairs, concat, format = error, pairs, table.concat, string.format

local phases = {
  init_worker = 0x1, certificate = 0x2, client_hello = 0x8, rewrite = 0x10, access = 0x20,
  balancer = 0x40, response = 0x80, cluster_listener = 0x100, header_filter = 0x200,
  body_filter = 0x400, log = 0x2000, preread = 0x4000, error = 0x1000000, admin_api = 0x10000000,
}
local names = {}
for name, phase in pairs(phases) do names[phase] = name end

local public = { new = bor }

-- The phase of a call that belongs to no exchange; it can't wait, so nobody else sees it.
local boot

local function current()
  if boot then return boot end
  local ctx = dialect.ctx()
  if not ctx then return nil end
  local phase = ctx.KONG_PHASE
  -- A content script stands where Kong's own API does.
  if not phase and ngx.get_phase() == "content" then return phases.admin_api end
  return phase
end
public.current = current

function public.boot(phase) boot = phase end

local function names_of(set)
  local list, phase = {}, 1
  for _ = 1, 30 do
    if band(set, phase) ~= 0 and names[phase] then list[#list + 1] = names[phase] end
    phase = lshift(phase, 1)
  end
  return (concat(list, ", "))
end

local function name_of(phase) return names[phase] or "'unknown phase'" end

function public.check(accepted)
  local phase = current()
  if not phase then
    error(format("no phase in ngx.ctx.KONG_PHASE, (need one of %s)", names_of(accepted)), 3)
  end
  if band(phase, accepted) ~= 0 then return end
  error(format("function cannot be called in %s phase (only in: %s)", name_of(phase),
    names_of(accepted)), 3)
end

function public.check_not(rejected)
  local phase = current()
  if not phase then error("no phase in ngx.ctx.KONG_PHASE", 3) end
  if band(phase, rejected) == 0 then return end
  error(format("function cannot be called in %s phase (can be called in any phases except: %s)",
    name_of(phase), names_of(rejected)), 3)
end

public.phases = {
  request = bor(phases.rewrite, phases.access, phases.balancer, phases.response,
    phases.header_filter, phases.body_filter, phases.log, phases.error, phases.admin_api,
    phases.cluster_listener),
}
for name, phase in pairs(phases) do
  public.phases[name], public.phases[phase] = phase, name
end
setmetatable(public.phases, {
  __index = function(_, name) error("unknown phase or phase alias: " .. tostring(name), 2) end,
})

return public
