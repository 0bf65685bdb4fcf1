//! Every function that scripts can reach, called with what nobody means: it may refuse or fail its
//! script, and nothing of the host's breaks. A panic there would end the process, and this test.

use std::time::Duration;

use pilotlight_filter::abi::Phase;

use crate::rig::*;

/// Calls functions below `roots` by chance, several hundred of them.
const SCRIPT: &str = r#"
local functions, names, seen = {}, {}, {}
local function find(value, name, depth)
  if type(value) == 'function' then
    if not seen[value] then
      seen[value] = true
      functions[#functions + 1], names[#names + 1] = value, name
    end
  elseif type(value) == 'table' and not seen[value] and depth < 5 then
    seen[value] = true
    local keys = {}
    for key in pairs(value) do if type(key) == 'string' then keys[#keys + 1] = key end end
    table.sort(keys)
    for _, key in ipairs(keys) do find(rawget(value, key), name .. '.' .. key, depth + 1) end
  end
end
for _, root in ipairs(ROOTS) do find(root[2], root[1], 1) end

local made = {}
local function odd(state)
  local own = #made > 0 and made[state(1, #made)] or nil
  local values = {
    nil, true, false, 0, -1, 1, 2, 3, 64, 255, 65536, -2147483648, 2147483647, 4294967296, 2 ^ 53,
    1e300, -1e300, 1 / 0, -1 / 0, 0 / 0, 0.5, -0.5, '', '\0', 'x', 'a=b&c', '%', '%2', '%zz', '[', '(',
    '(a)(b)?', '$1', '$', '\\', '-', '/', '..', 'jo', 'set', ('x'):rep(300), ('\255'):rep(70),
    'http://a', 'text/plain', '{"a":[1,2]}', '[', '1e999', 'x-a', 'X-Token', 'Content-Length', ':path',
    {}, { 1, 2, 3 }, { 'a', 'b' }, { a = 1 }, { a = { 1, true } }, { {} }, { [2 ^ 31] = 1 },
    function() end, function(...) return ... end, coroutine.create(function() end), own, own, own,
  }
  return values[state(1, 66)]
end
local seed = SEED
local function state(low, high)
  seed = (seed * 16807) % 2147483647
  return low + seed % (high - low + 1)
end
local SKIP = { exit = true, exec = true, redirect = true, sleep = true, set_uri = true, error = true,
  assert = true, newthread = true, run_worker_thread = true, spawn = true, wait = true, print = true,
  rep = true, timer = true }
for _ = 1, 400 do
  local at = state(1, #functions)
  local name = names[at]:match('[^.]+$')
  if not SKIP[name] or state(1, 40) == 1 then
    local count = state(0, 5)
    local a, b, c, d, e = odd(state), odd(state), odd(state), odd(state), odd(state)
    local results = { pcall(functions[at], unpack({ a, b, c, d, e }, 1, count)) }
    for index = 2, math.min(#results, 3) do
      local kind = type(results[index])
      if (kind == 'table' or kind == 'userdata' or kind == 'cdata') and #made < 50 then
        made[#made + 1] = results[index]
        if kind == 'table' then pcall(find, results[index], names[at] .. '()', 3) end
        local meta = kind == 'table' and getmetatable(results[index])
        if type(meta) == 'table' and type(meta.__index) == 'table' then
          pcall(find, meta.__index, names[at] .. '():', 3)
        end
      end
    end
  end
end
"#;

/// What the scripts of each kind can reach.
const NGX: &str = "{ { 'ngx', ngx }, { 're', ngx.re }, { 'req', ngx.req }, { 'shared', ngx.shared.sessions },
  { 'dict', getmetatable(ngx.shared.sessions).__index }, { 'table', table }, { 'string', string },
  { 'bit', bit }, { 'os', os }, { 'math', math }, { 'cjson', require 'cjson' },
  { 'ssl', require 'ngx.ssl' }, { 'pipe', require 'ngx.base64' }, { 'aes', require 'resty.aes' },
  { 'sem', require 'ngx.semaphore' }, { 'balancer', require 'ngx.balancer' },
  { 'md5', require 'resty.md5' }, { 'sha', require 'resty.sha256' }, { 'rand', require 'resty.random' },
  { 'pkey', require 'resty.openssl.pkey' }, { 'bn', require 'resty.openssl.bn' },
  { 'x509', require 'resty.openssl.x509' }, { 'cipher', require 'resty.openssl.cipher' },
  { 'kdf', require 'resty.openssl.kdf' }, { 'var', { function(k) return ngx.var[k] end,
    get = function(k) return ngx.var[k] end, set = function(k, v) ngx.var[k] = v end,
    header = function(k, v) ngx.header[k] = v return ngx.header[k] end } } }";
const NATIVE: &str = "{ { 'gateway', gateway }, { 'req', req }, { 'headers', req.headers },
  { 'table', table }, { 'string', string }, { 'os', os }, { 'math', math }, { 'bit', bit },
  { 'shared', gateway.shared 'sessions' }, { 'meta', { set = function(k, v) req.headers[k] = v end,
    field = function(k, v) req[k] = v return req[k] end } } }";

fn rain(script: &str, roots: &str, make: impl Fn(&str) -> Rig) {
    const SEEDS: u32 = if cfg!(debug_assertions) { 60 } else { 300 };
    let rig = make(&script.replace("ROOTS", roots));
    for seed in 1..=SEEDS {
        let mut exchange = exchange();
        exchange.request.head.set_path(format!("/{seed}").as_bytes()).unwrap();
        let mut filter = rig.realm.start(0);
        for _ in 0..100 {
            if poll(&mut *filter, Phase::Request, &mut exchange, None).is_ready() {
                break;
            }
            let _ = rig.tick();
        }
        // Timers that come again and again have had their turns.
        rig.world.tasks.borrow_mut().clear();
    }
}

#[test]
fn openresty_refuses_what_nobody_means() {
    let script = SCRIPT.replace("SEED", "tonumber(ngx.var.uri:match '%d+')");
    rain(&script, NGX, |script| {
        crate::nginx::access(script, |plan| plan.filters[0].cpu = Duration::from_millis(300))
    });
}

#[test]
fn the_gateway_refuses_what_nobody_means() {
    let script = SCRIPT.replace("SEED", "tonumber(req.path:match '%d+')");
    rain(&script, NATIVE, |script| {
        let script = format!("return {{ request = function(req) {script} end }}");
        load(&[&script], |plan, _| plan.filters[0].cpu = Duration::from_millis(300)).unwrap()
    });
}
