//! What an operator sees of scripts: figures of their VMs and filters, lines for those that fail or
//! hold their worker.

use std::time::Duration;

use crate::pressure::metrics;
use crate::support::gateway::Setup;
use crate::support::message::{Client, Protocol};
use crate::support::{Gateway, Request, free_address, run, soon};

const SCRIPT: &str = "local f = {}
local function deep(req)
  error('no such luck')
end
local function held()
  local x = 0
  for i = 1, 2e8 do x = x + i % 7 end
  return x
end
function f.request(req)
  if req.path == '/fails' then deep(req) end
  if req.path == '/holds' then return { body = tostring(held()) } end
  local x = 0
  for i = 1, 1000 do x = x + i end
  -- A function made in a loop does not compile.
  for i = 1, 1000 do x = x + (function() return i end)() end
  return { body = tostring(x) }
end
function f.log(entry) end
return f";

async fn start() -> (Gateway, std::net::SocketAddr) {
    let admin = free_address();
    let mut setup = Setup::new(
        "[[routes]]\nfilters = [\"f\"]\nrespond = { body = \"ok\" }\n\
         [filters.f]\nlua = \"f.lua\"\nlimits = { cpu = \"30s\" }\n",
    )
    .quiet()
    .file("f.lua", SCRIPT);
    setup.gateway = format!("admin = \"{admin}\"");
    (setup.start().await, admin)
}

/// The value of a series.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.starts_with(series))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn the_vms_of_a_worker_have_figures() {
    run(async {
        let (gateway, admin) = start().await;
        let mut client = Client::connect(Protocol::H1, &gateway, "a.test").await;
        client.send(&Request::get("/x")).await.assert(200);
        // An idle worker collects, and tells its figures now and then.
        let look = async {
            loop {
                let page = metrics(admin).await;
                let has = |name: &str| {
                    let series = format!("pilotlight_lua_{name}{{worker=\"0\"}}");
                    value(&page, &series).is_some_and(|value| value > 0.0)
                };
                let all = ["heap_bytes", "collections_total", "traces_total", "trace_aborts_total"];
                if all.into_iter().all(has) {
                    return page;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let page = soon("the figures", look).await;
        for phase in ["request", "log"] {
            let labels = format!("{{filter=\"f\",phase=\"{phase}\"}}");
            let count = value(&page, &format!("pilotlight_filter_duration_seconds_count{labels}"));
            assert_eq!(count, Some(1.0), "{page}");
        }
    });
}

#[test]
fn a_failure_names_its_place_and_its_stack_is_there_once() {
    run(async {
        let (gateway, _) = start().await;
        let mut client = Client::connect(Protocol::H1, &gateway, "a.test").await;
        client.send(&Request::get("/fails")).await.assert(500);
        let line = gateway.logged(&["filter failed"]).await.unwrap();
        for part in
            ["\"phase\":\"request\"", "f.lua:3: no such luck", "\"request_id\":\"", "'deep'"]
        {
            assert!(line.contains(part), "{part}: {line}");
        }
        client.send(&Request::get("/x")).await.assert(200);
        let traces = gateway.log().iter().filter(|line| line.contains("'deep'")).count();
        assert_eq!(traces, 1);
    });
}

#[test]
fn a_call_that_holds_its_worker_is_logged_with_its_stack() {
    run(async {
        let (gateway, _) = start().await;
        let mut client = Client::connect(Protocol::H1, &gateway, "a.test").await;
        client.send(&Request::get("/holds")).await.assert(200);
        let line = gateway.logged(&["filter blocked its worker"]).await.unwrap();
        for part in ["\"phase\":\"request\"", "f.lua:7: in function 'held'", "\"request_id\":\""] {
            assert!(line.contains(part), "{part}: {line}");
        }
    });
}
