-- kong.tools.yield: a long loop lets others run. Here every phase of an exchange may.
local get_phase, sleep = ngx.get_phase, ngx.sleep

local still = { init = true, init_worker = true, exit_worker = true }
local ROUNDS = 1000
local left = ROUNDS

local function in_yieldable_phase(phase) return not still[phase or get_phase()] end

local function yield(in_loop, phase)
  if in_loop then
    left = left - 1
    if left > 0 then return end
    left = ROUNDS
  end
  if in_yieldable_phase(phase) then sleep(0) end
end

return { yield = yield, in_yieldable_phase = in_yieldable_phase }
