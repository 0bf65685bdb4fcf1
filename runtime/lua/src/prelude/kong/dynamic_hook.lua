-- kong.dynamic_hook: functions that run before and after others, for those requests that want it.
local _, dialect = ...

local type, error, pcall = type, error, pcall

local hooks, always = {}, {}
local public = {}

local function check(name, value, kind)
  if type(value) ~= kind then error(name .. " must be a " .. kind, 3) end
end

function public.hook(group, name, handler)
  check("group_name", group, "string")
  check("hook_name", name, "string")
  check("handler", handler, "function")
  hooks[group] = hooks[group] or {}
  hooks[group][name] = handler
end

function public.is_group_enabled(group)
  check("group_name", group, "string")
  if always[group] then return true end
  local ctx = dialect.ctx()
  local enabled = ctx and ctx.dynamic_hook
  return enabled ~= nil and enabled.enabled_groups[group] == true
end

local function run(group, handler, ...)
  local ok, why = pcall(handler, ...)
  if not ok then ngx.log(ngx.WARN, "failed to run dynamic hook ", group, ": ", why) end
end

function public.run_hook(group, name, ...)
  check("hook_name", name, "string")
  if not public.is_group_enabled(group) then return end
  local handler = hooks[group] and hooks[group][name]
  if handler then run(group .. "." .. name, handler, ...) end
end

local function run_all(group, list, ...)
  for index = 1, list and #list or 0 do run(group, list[index], ...) end
end

local function with_after(group, list, ...)
  run_all(group, list, ...)
  return ...
end

function public.hook_function(group, parent, key, most, handlers)
  check("group_name", group, "string")
  check("parent", parent, "table")
  check("function_key", key, "string")
  if most ~= "varargs" then check("max_args", most, "number") end
  local original = parent[key]
  check("parent[" .. key .. "]", original, "function")
  parent[key] = function(...)
    if not public.is_group_enabled(group) then return original(...) end
    run_all(group, handlers.befores, ...)
    return with_after(group, handlers.afters, original(...))
  end
end

function public.enable_on_this_request(group, ctx)
  check("group_name", group, "string")
  ctx = ctx or ngx.ctx
  ctx.dynamic_hook = ctx.dynamic_hook or { enabled_groups = {} }
  ctx.dynamic_hook.enabled_groups[group] = true
end

function public.enable_by_default(group) always[group] = true end
function public.disable_by_default(group) always[group] = nil end

return public
