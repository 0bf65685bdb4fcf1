-- How the scripts of one filter become phases of the gateway's.
local pl = ...
local C, window, slow = pl.C, pl.window, pl.slow
local parent_of = C.parent
local world = pl.part("ngx/world")
local ngx, yield = world.ngx, world.yield
local setmetatable = setmetatable
local setfenv, type, error, pairs, ipairs, tostring, unpack =
  setfenv, type, error, pairs, ipairs, tostring, unpack

-- What a phase ends with, as the host reads it.
local GO_ON, ANSWERED, ELSEWHERE, CLOSED = nil, 1, 2, 3

-- Longer than any worker lives, in seconds.
local NEVER = 31536000

local CLOSES = { [-1] = true, [444] = true, [499] = true }

-- The state of the exchange at hand: what the host keeps for it, and begins as an empty table.
local function enter(state, filter)
  if not state.serial then
    state.serial = window.serial
    if parent_of(window) ~= 0 then
      state.parent, state.body_read, state.marked = window.num, true, true
      local given = world.handed[slow.handed()]
      if given then
        state.ctx, state.vars = given.ctx, given.vars
        if given.vars then world.begin_vars(state) end
        if given.over then
          local vars = world.vars_of(state)
          for name, value in pairs(given.over) do vars[tostring(name):lower()] = tostring(value) end
        end
      end
    end
  end
  if state.marked and state.moved then
    state.moved = nil
    world.begin_vars(state)
  end
  state.settings = filter.settings
end

-- An error page takes the place of what was answered: its scripts find nothing of that but the
-- status that ngx.exit gave, which stays if they don't say another, as in nginx.
local function anew(state)
  state.status = state.paged
  state.sent, state.held, state.eof, state.refused, state.reason, state.length, state.ctx, state.paged = nil
  world.begin_vars(state)
end

-- Sends the request elsewhere: ngx.exec, and ngx.req.set_uri with a jump.
local function elsewhere(state)
  local to = state.exec
  state.exec = nil
  if state.held then
    C.out_drop(window)
    state.held = nil
  end
  if to:byte(1) == 64 then
    slow.reroute(to)
  else
    local ok, why = slow.reroute(nil, to, state.exec_query)
    if not ok then error(why, 0) end
  end
  state.internal, state.moved, state.marked, state.exit = true, true, true, nil
  if not state.jump then state.ctx = nil end
  state.jump = nil
  return ELSEWHERE
end

-- What the code that a script ended its phase with means; nothing: the next step follows.
local function leave(state, step)
  local code = state.exit
  state.exit = nil
  if code == "exec" then
    state.exit = code
    return elsewhere(state)
  end
  if state.sent then return ANSWERED end
  if state.raw then return CLOSED end
  if code == 0 or code == -5 then
    if step.phase == "content" then
      world.send_head(state)
      return ANSWERED
    end
    return GO_ON
  end
  if CLOSES[code] and not state.parent then return CLOSED end
  if code < 0 or code > 999 then code = 500 end
  if code >= 300 and not (state.held and state.status == code) then
    state.paged = code
    world.page(state, code)
  elseif code >= 200 then
    world.send_head(state, state.status or code)
  else
    return GO_ON
  end
  return ANSWERED
end

local function chunk_of(step)
  setfenv(step.run, world.G)
  return step.run
end

-- One step of the request phase, and those behind it: no loop, as one of few rounds never compiles.
local function step_of(step, at, behind)
  local is_var, run, set, phase = step.var, step.run, step.set, step.phase
  local is_access, is_answer = phase == "access", phase == "content" and not behind
  return function(state)
    state.step, state.at, window.allowed = phase, at, 0
    if is_access and state.marked and state.parent then
      -- nginx asks for access once, for the client's request.
    elseif is_var then
      set(state)
    else
      run()
    end
    if state.marked then
      if state.spawned then
        yield(pl.OTHERS)
        state.spawned = nil
      end
      if state.held then world.send_head(state) end
      if state.sent then return ANSWERED end
      if state.raw then return CLOSED end
    end
    if is_answer then
      world.send_head(state)
      return ANSWERED
    end
    if behind then return behind(state) end
    return GO_ON
  end
end

-- The request phase: the steps, in order. The host calls it anew when a script ended one early.
local function request_of(filter, steps)
  local starts = {}
  for at = #steps, 1, -1 do
    starts[at] = step_of(steps[at], at, starts[at + 1])
  end
  local first = starts[1]
  return function(state)
    if state.exit == nil then
      enter(state, filter)
      if state.marked and state.sent then anew(state) end
      return first(state)
    end
    local verdict = leave(state, steps[state.at])
    if verdict then return verdict end
    local go_on = starts[state.at + 1]
    if go_on then return go_on(state) end
    return GO_ON
  end
end

-- Runs beside a request's scripts when the client has left.
local function abort_of(filter)
  local checks = filter.settings.check_client_abort
  return function(state)
    if checks then world.write_log(ngx.INFO, "client prematurely closed connection") end
    local callback = state.on_abort
    if callback then return world.alone(callback) end
    if checks then
      state.exit = 499
      yield(pl.EXIT)
    end
  end
end

-- A variable's script: what it returns, or what it wrote into ngx.var.
local function setter(step)
  local ngx, run = world.ngx, step.run
  return function(state)
    local arg = {}
    for index, template in ipairs(step.args) do arg[index] = world.interpolate(template) end
    state.arg = arg
    local value = run(unpack(arg))
    state.arg = nil
    if value ~= nil then
      world.vars_of(state)[step.var:lower()] = tostring(value)
    elseif world.vars_of(state)[step.var:lower()] == nil then
      world.vars_of(state)[step.var:lower()] = ""
    end
  end
end

function world.get.arg()
  local at = world.state()
  if not at.arg then error("API disabled in the current context", 4) end
  return at.arg
end

-- Whoever makes the response that a filter sees may go on afterwards, with its own settings.
local function header_filter_of(filter, run)
  return function(state)
    local before = state.settings
    enter(state, filter)
    state.exit_code = nil
    if not state.sent then C.field(window, pl.getters.status) state.status = window.num end
    state.sent, state.marked = true, true
    run()
    state.settings = before or state.settings
    local code = state.exit_code
    if not code or code == 0 then return end
    if code < 0 or CLOSES[code] then return CLOSED end
    if code >= 300 then
      local page = slow.page(code)
      ngx.status, ngx.header.content_type = code, "text/html"
      C.body_set(window, 1, page, #page)
      C.out_stock(window)
    end
  end
end

-- A chunk that a script has set to nil is an empty one.
local Swallowed = { __index = function(_, index) if index == 1 then return "" end return nil end }

local function body_filter_of(filter, run)
  -- It sees what each ngx.print writes as a chunk of its own.
  world.cuts = true
  return function(state, chunk, last)
    local before = state.settings
    enter(state, filter)
    local arg = setmetatable({ chunk, last }, Swallowed)
    state.arg = arg
    local code = run()
    state.arg, state.settings = nil, before or state.settings
    -- `return ngx.ERROR` breaks the answer off.
    if type(code) == "number" and (code == -1 or code >= 300) then return CLOSED end
    local out = arg[1]
    if out == nil then out = "" end
    if type(out) == "table" then
      out = world.flatten(out)
    elseif type(out) ~= "string" then
      out = tostring(out)
    end
    return out, arg[2] and true or false
  end
end

local function log_of(filter, run)
  return function(state)
    enter(state, filter)
    state.sent, state.marked = true, true
    run()
  end
end

local function balancer_of(filter, run)
  return function(state)
    enter(state, filter)
    -- Each try is picked for anew.
    state.pick = nil
    run()
    local code = state.exit_code
    state.exit_code = nil
    if code and code >= 300 then
      world.page(state, code)
      return ANSWERED
    end
  end
end

-- A step of a TLS handshake. The host calls it anew when its script ended it early.
local function handshake_of(filter, run, of_client)
  return function(state)
    local code = state.exit
    if code == nil then
      enter(state, filter)
      state.exit_code = nil
      run()
      if state.spawned then
        yield(pl.OTHERS)
        state.spawned = nil
      end
      code = state.exit_code
    end
    state.exit = nil
    if of_client and state.ctx then slow.hs_bequeath(state.ctx) end
    if code and code ~= 0 and code ~= -5 and (code < 0 or code >= 300) then return CLOSED end
  end
end

local function with_client(filter, run) return handshake_of(filter, run, true) end

local REQUEST = {
  server_rewrite = true, set = true, rewrite = true, access = true, precontent = true,
  content = true,
}
local OTHERS = {
  header_filter = { "response", header_filter_of }, body_filter = { "response_body", body_filter_of },
  log = { "log", log_of }, balancer = { "upstream", balancer_of },
  ssl_client_hello = { "client_hello", with_client },
  ssl_session_fetch = { "session_fetch", with_client },
  ssl_certificate = { "certificate", with_client },
  ssl_session_store = { "session_store", with_client },
  proxy_ssl_certificate = { "upstream_certificate", handshake_of },
  proxy_ssl_verify = { "upstream_verify", handshake_of },
}

-- Puts a filter's scripts together. `scripts` is a list of { phase, run, var, args }, in the order
-- of the phases; `settings` is JSON. Answers what `pl.boot` does.
return function(scripts, settings)
  local decoded, why = slow.json_decode(settings)
  if not decoded then error("settings: " .. why, 0) end
  local filter = { settings = decoded }
  local steps, entries = {}, {}
  for index = 1, #scripts do
    local step = scripts[index]
    local run = chunk_of(step)
    if step.phase == "init" then
      world.loading.settings = decoded
      run()
    elseif step.phase == "init_worker" then
      slow.task_start(0, false, false, function()
        local at = world.begin("init_worker", decoded)
        run()
        if at.spawned then yield(pl.OTHERS) end
      end)
    elseif step.phase == "exit_worker" then
      -- A task whose time comes only when the worker ends.
      slow.task_start(NEVER, false, true, function()
        if slow.exiting() then
          local at = world.begin("exit_worker", decoded)
          run()
          at.spawned = nil
        end
      end)
    elseif REQUEST[step.phase] then
      if step.var then
        world.declare { [""] = { [step.var] = "" } }
        step.set = setter(step)
      end
      steps[#steps + 1] = step
    elseif OTHERS[step.phase] then
      local phase, make = OTHERS[step.phase][1], OTHERS[step.phase][2]
      entries[phase] = make(filter, run)
    end
  end
  if #steps > 0 then
    entries.request = request_of(filter, steps)
    entries.abort = abort_of(filter)
  end
  return entries, {}
end
