-- ngx.worker, ngx.process: workers are threads of one process here.
local pl = ...
local slow = pl.slow

return function(ngx, world)
  ngx.worker = {
    pid = slow.pid,
    -- One for each worker, though it is the same.
    pids = function()
      local all = {}
      for index = 1, slow.worker_count() do all[index] = slow.pid() end
      return all
    end,
    id = function() return slow.worker_id() end,
    count = function() return slow.worker_count() end,
    exiting = function() return slow.exiting() end,
  }

  world.preload["ngx.process"] = function()
    return {
      version = "0.1.33",
      type = function() return "worker" end,
      enable_privileged_agent = function()
        return nil, "workers are threads of one process: there is no privileged agent"
      end,
      signal_graceful_exit = function() return nil, "a script can't end the gateway" end,
      get_master_pid = function() return slow.pid() end,
    }
  end
end
