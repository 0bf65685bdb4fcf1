-- ngx.semaphore: light threads of one worker wait for each other.
local pl = ...
local slow = pl.slow
local type, error, setmetatable, tonumber = type, error, setmetatable, tonumber

return function(ngx, world)
  local Semaphore = { __index = {} }
  local methods = Semaphore.__index

  local function check(semaphore)
    if type(semaphore) ~= "table" or type(semaphore.sem) ~= "table" then
      error("not a semaphore", 3)
    end
    return semaphore.sem
  end

  function methods.wait(semaphore, seconds)
    local sem = check(semaphore)
    if type(seconds) ~= "number" then seconds = tonumber(seconds) end
    if not seconds then error("bad argument #1 to 'wait' (number expected)", 2) end
    if seconds < 0 then return nil, "invalid timeout" end
    if sem.count > 0 then
      sem.count = sem.count - 1
      return true
    end
    if seconds == 0 then return nil, "timeout" end
    local waiter = slow.park(seconds)
    local last = sem.last + 1
    sem.queue[last], sem.last = waiter, last
    if world.yield(pl.TAKE) then return true end
    -- It may stand anywhere in the queue by now: a gap is passed over.
    for at = sem.first, sem.last do
      if sem.queue[at] == waiter then sem.queue[at] = false break end
    end
    sem.gone = sem.gone + 1
    return nil, "timeout"
  end

  function methods.post(semaphore, count)
    local sem = check(semaphore)
    if count == nil then count = 1 end
    if type(count) ~= "number" then error("bad argument #1 to 'post' (number expected)", 2) end
    if count < 1 then error("no less than 1 resources are allowed to post", 2) end
    while count > 0 and sem.first <= sem.last do
      local waiter = sem.queue[sem.first]
      sem.queue[sem.first] = nil
      sem.first = sem.first + 1
      if waiter then
        -- A thread that was killed in its wait takes nothing.
        if slow.unpark(waiter) then count = count - 1 end
      else
        sem.gone = sem.gone - 1
      end
    end
    sem.count = sem.count + count
    return true
  end

  function methods.count(semaphore)
    local sem = check(semaphore)
    return sem.count - (sem.last - sem.first + 1 - sem.gone)
  end

  world.preload["ngx.semaphore"] = function()
    return {
      version = "0.1.33",
      new = function(count)
        count = tonumber(count) or 0
        if count < 0 then error("no negative number of resources", 2) end
        local sem = { count = count, queue = {}, first = 1, last = 0, gone = 0 }
        return (setmetatable({ sem = sem }, Semaphore))
      end,
    }
  end
end
