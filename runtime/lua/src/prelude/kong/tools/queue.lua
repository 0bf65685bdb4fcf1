-- kong.tools.queue: entries that wait to be sent in batches, beside exchanges. A handler that fails is
-- tried again; past `max_entries` or `max_bytes` the oldest go.
local semaphore = require "ngx.semaphore"

local type, pcall, pairs, tostring, select, setmetatable, error =
  type, pcall, pairs, tostring, select, setmetatable, error
local min = math.min
local now, sleep = ngx.now, ngx.sleep

-- Less than this of waiting for more entries is not worth it, seconds.
local COALESCE_LEAST = 0.05
-- How often a queue that waits looks whether the gateway stops.
local COALESCE_LOOK = 1
-- How full a queue is when it warns.
local NEARLY_FULL = 0.8
-- Seconds between warnings about one old parameter.
local WARN_AGAIN = 60
-- A queue whose timer has not been heard of for so long beyond what a retry may wait has lost it, to a
-- limit for example, and gets another one.
local LOST = 60

local Queue = {}
Queue.__index = Queue
Queue._CAPACITY_WARNING_THRESHOLD = NEARLY_FULL

-- Those that have entries, by name.
local queues = {}

function Queue:count() return self.back - self.front end

function Queue:log(level, text, ...)
  if select("#", ...) > 0 then text = text:format(...) end
  kong.log[level]("[", self.log_tag or "", "] queue ", self.name, ": ", text)
end

local function size_of(entry) return type(entry) == "string" and #entry or 0 end

function Queue:delete_frontmost_entry()
  local entry = self.entries[self.front]
  self.bytes_queued = self.bytes_queued - size_of(entry)
  self.entries[self.front] = nil
  self.front = self.front + 1
  if self.front == self.back then self.front, self.back = 1, 1 end
  return entry
end

local function drop_oldest(queue)
  queue.semaphore:wait(0)
  queue:delete_frontmost_entry()
  queue.already_dropped_entries = true
end

-- Hands a batch to the handler until it takes it, or the time for that is over.
local function deliver(queue, batch)
  local began, tries = now(), 0
  while true do
    queue.seen = now()
    local ran, ok, why = pcall(queue.handler, queue.handler_conf, batch)
    if ran and ok == true then return end
    if not ran then why = ok end
    queue:log("warn", "handler could not process entries: %s",
      tostring(why or "no error details returned by handler"))
    if not why then queue:log("err", "handler returned falsy value but no error information") end
    if now() - began > queue.max_retry_time then
      queue:log("err",
        "could not send entries due to max_retry_time exceeded. %d queue entries were lost", #batch)
      return
    end
    sleep(min(queue.max_retry_delay, 2 ^ tries * queue.initial_retry_delay))
    tries = tries + 1
  end
end

-- Waits for a first entry, then for more while it may, and delivers them.
function Queue:process_once()
  self.seen = now()
  local ok, why = self.semaphore:wait(0)
  if not ok then
    if why ~= "timeout" then self:log("err", "error waiting for semaphore: %s", why) end
    return
  end
  local began, count = now(), 1
  while count < self.max_batch_size do
    local left = self.max_coalescing_delay - (now() - began)
    if left < COALESCE_LEAST then break end
    if ngx.worker.exiting() then
      self.max_coalescing_delay = COALESCE_LEAST
      left = COALESCE_LEAST
    end
    ok, why = self.semaphore:wait(min(left, COALESCE_LOOK))
    if ok then
      count = count + 1
    elseif why ~= "timeout" then
      self:log("err", "could not wait for semaphore: %s", why)
      break
    end
  end
  local batch = {}
  for index = 1, min(count, self:count()) do batch[index] = self:delete_frontmost_entry() end
  if self.already_dropped_entries then
    self:log("info", "queue resumed processing")
    self.already_dropped_entries = false
  end
  deliver(self, batch)
end

local function drain(_, queue, turn)
  while queue:count() > 0 and queue.turn == turn do queue:process_once() end
  if queue.turn == turn then queues[queue.name] = nil end
end

local function start(queue)
  queue.turn, queue.seen = (queue.turn or 0) + 1, now()
  local name = "queue " .. queue.name .. " " .. queue.turn
  local ok, why = kong.timer:named_at(name, 0, drain, queue, queue.turn)
  if not ok then return nil, "failed to create timer: " .. tostring(why) end
  queues[queue.name] = queue
  return true
end

local function open(conf, handler, handler_conf)
  local queue = queues[conf.name]
  if queue then
    queue.handler_conf = handler_conf
    if now() - queue.seen > queue.max_retry_delay + queue.max_coalescing_delay + LOST then
      start(queue)
    end
    return queue
  end
  queue = {
    handler = handler, handler_conf = handler_conf, semaphore = semaphore.new(),
    entries = {}, front = 1, back = 1, bytes_queued = 0,
  }
  for key, value in pairs(conf) do queue[key] = value end
  setmetatable(queue, Queue)
  if queue.concurrency_limit == 1 then
    local ok, why = start(queue)
    if not ok then return nil, why end
  end
  return queue
end

local function add(queue, entry)
  if entry == nil then return nil, "entry must be a non-nil Lua value" end
  if queue.concurrency_limit == -1 then
    local ok, why = kong.timer:at(0, function(premature)
      if not premature then deliver(queue, { entry }) end
    end)
    if not ok then return nil, "failed to create timer: " .. tostring(why) end
    return true
  end
  local full = queue:count() >= queue.max_entries * NEARLY_FULL
  if full and not queue.warned then
    queue:log("warn", "queue at %s%% capacity", NEARLY_FULL * 100)
  end
  queue.warned = full
  if queue:count() >= queue.max_entries then
    queue:log("err", "queue full, dropping old entries until processing is successful again")
    drop_oldest(queue)
  end
  local size = size_of(entry)
  if queue.max_bytes then
    if size > queue.max_bytes then
      local text = ("string to be queued is longer (%d bytes) than the queue's max_bytes (%d bytes)")
        :format(size, queue.max_bytes)
      queue:log("err", "%s", text)
      return nil, text
    end
    if type(entry) ~= "string" then
      queue:log("err", "queuing non-string entry to a queue that has queue.max_bytes set, "
        .. "capacity monitoring will not be correct")
    end
    local dropped = 0
    while queue.bytes_queued + size > queue.max_bytes and queue:count() > 0 do
      drop_oldest(queue)
      dropped = dropped + 1
    end
    if dropped > 0 then
      queue:log("err", "byte capacity exceeded, %d queue entries were dropped", dropped)
    end
  end
  queue.bytes_queued = queue.bytes_queued + size
  queue.entries[queue.back] = entry
  queue.back = queue.back + 1
  queue.semaphore:post()
  return true
end

function Queue.exists(name) return queues[name] ~= nil end

function Queue._exists(name)
  local queue = queues[name]
  return queue and queue:count() > 0
end

local function full(queue)
  return queue:count() >= queue.max_entries
    or queue.max_bytes ~= nil and queue.bytes_queued >= queue.max_bytes
end

function Queue.is_full(conf)
  local queue = queues[conf.name]
  return queue ~= nil and full(queue)
end

function Queue.can_enqueue(conf, entry)
  local queue = queues[conf.name]
  if not queue then return true end
  return not full(queue)
    and not (queue.max_bytes and queue.bytes_queued + size_of(entry) > queue.max_bytes)
end

local kinds = {
  name = "string", max_batch_size = "number", max_coalescing_delay = "number",
  max_entries = "number", max_retry_time = "number", initial_retry_delay = "number",
  max_retry_delay = "number", concurrency_limit = "number",
}

function Queue.enqueue(conf, handler, handler_conf, entry)
  if type(conf) ~= "table" then error("arg #1 (queue_conf) must be a table", 2) end
  if type(handler) ~= "function" then error("arg #2 (handler) must be a function", 2) end
  if handler_conf ~= nil and type(handler_conf) ~= "table" then
    error("arg #3 (handler_conf) must be a table or nil", 2)
  end
  for name, kind in pairs(kinds) do
    if type(conf[name]) ~= kind then
      error("arg #1 (queue_conf) " .. name .. " must be a " .. kind, 2)
    end
  end
  if conf.max_bytes ~= nil and type(conf.max_bytes) ~= "number" then
    error("arg #1 (queue_conf) max_bytes must be a number or nil", 2)
  end
  local queue, why = open(conf, handler, handler_conf)
  if not queue then return nil, why end
  return add(queue, entry)
end

-- What older plugins called the parameters: the old name, its default, what it is now.
local old_parameters = {
  { "retry_count", 10, nil, "the retry_count parameter no longer works, please update your "
    .. "configuration to use initial_retry_delay and max_retry_time instead" },
  { "queue_size", 1, "max_batch_size" },
  { "flush_timeout", 2, "max_coalescing_delay" },
  { "batch_span_count", 200, "max_batch_size" },
  { "batch_flush_delay", 3, "max_coalescing_delay" },
}
local warned = {}

local function warn(name, text)
  local key = name .. "/" .. text
  if now() - (warned[key] or -WARN_AGAIN) < WARN_AGAIN then return end
  warned[key] = now()
  kong.log.warn(text)
end

function Queue.get_plugin_params(plugin, config, name)
  local conf = config.queue or {}
  conf.log_tag = plugin .. " plugin " .. kong.plugin.get_id()
  if config.plugin_instance_name then
    conf.log_tag = conf.log_tag .. " (" .. config.plugin_instance_name .. ")"
  end
  conf.name = conf.name or name or kong.plugin.get_id()
  for index = 1, #old_parameters do
    local old, default, new, text = unpack(old_parameters[index], 1, 4)
    local value = config[old]
    if value ~= nil and value ~= ngx.null and value ~= default then
      if new then conf[new] = value end
      warn(conf.name, text or "the " .. old .. " parameter is deprecated, please update your "
        .. "configuration to use queue." .. new .. " instead")
    end
  end
  return conf
end

return Queue
