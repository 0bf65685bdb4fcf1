-- kong.concurrency: one at a time, among a worker's exchanges or among workers.
local semaphore = require "ngx.semaphore"

local type, error, pcall = type, error, pcall

local concurrency = {}

local function check(options)
  if type(options) ~= "table" then error("opts must be a table", 3) end
  if type(options.name) ~= "string" then error("opts.name is required and must be a string", 3) end
  if options.timeout and type(options.timeout) ~= "number" then
    error("opts.timeout must be a number", 3)
  end
end

function concurrency.with_worker_mutex(options, fn)
  check(options)
  if options.exptime and type(options.exptime) ~= "number" then
    error("opts.exptime must be a number", 2)
  end
  local timeout = options.timeout or 60
  local lock, why = require("resty.lock"):new("kong_locks", {
    timeout = timeout, exptime = options.exptime or timeout,
  })
  if not lock then return nil, "failed to create worker lock: " .. why end
  local elapsed
  elapsed, why = lock:lock(options.name)
  if not elapsed then
    if why == "timeout" then return nil, why end
    return nil, "failed to acquire worker lock: " .. why
  end
  local ran, ok, wrong = pcall(fn, elapsed)
  lock:unlock(options.name)
  if not ran then return nil, ok end
  return ok, wrong
end

-- Those that are held or waited for, by name.
local gates = {}

local function enter(name)
  local gate = gates[name]
  if not gate then
    gate = { semaphore = semaphore.new(1), users = 0 }
    gates[name] = gate
  end
  gate.users = gate.users + 1
  return gate
end

local function leave(name, gate, late)
  gate.users = gate.users - 1
  -- Who holds it for too long may be gone, with its exchange: those who come next don't wait for it.
  if gates[name] == gate and (late or gate.users == 0) then gates[name] = nil end
end

local late_answers = {
  return_true = function() return true, true end,
  run_unlocked = function(name, fn)
    kong.log.warn("bypassing ", name, " lock: timeout")
    return pcall(fn)
  end,
}

function concurrency.with_coroutine_mutex(options, fn)
  check(options)
  local name, late = options.name, options.on_timeout
  if late and not late_answers[late] then error("invalid value for opts.on_timeout", 2) end
  if not require("kong.tools.yield").in_yieldable_phase() then return fn() end
  local gate = enter(name)
  local held, why = gate.semaphore:wait(options.timeout or 60)
  local ran, ok, wrong = true, nil, nil
  if held then
    ran, ok, wrong = pcall(fn)
    gate.semaphore:post(1)
  elseif why ~= "timeout" then
    wrong = "error attempting to acquire " .. name .. " lock: " .. why
  elseif late then
    ran, ok, wrong = late_answers[late](name, fn)
  else
    wrong = "timeout acquiring " .. name .. " lock"
  end
  leave(name, gate, not held)
  if not ran then return nil, ok end
  return ok, wrong
end

return concurrency
