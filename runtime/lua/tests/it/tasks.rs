//! Tasks beside exchanges: begun, repeated, given up, failing alone.

use std::time::Duration;

use pilotlight_filter::abi::Phase;

use crate::rig::*;

fn lines(rig: &Rig) -> String {
    rig.world.lines.borrow().join("\n")
}

/// A filter whose request phase is this.
fn doing(body: &str) -> Rig {
    rig(&format!("local f = {{}}\nfunction f.request(req, ctx)\n{body}\nend\nreturn f"))
}

#[test]
fn a_task_outlives_its_exchange() {
    let rig = doing(
        "gateway.spawn(function(a, b)
           gateway.sleep(1)
           gateway.log.info(a .. b .. gateway.fetch('http://x/').status)
           local ok, why = pcall(function() return req.method end)
           gateway.log.info(tostring(why))
         end, 'x', 2)",
    );
    rig.world.delay.set(2);
    rig.request().0.unwrap();
    assert_eq!(lines(&rig), "");
    while rig.tick() > 0 {}
    let said = lines(&rig);
    assert!(said.contains("x2200"), "{said}");
    assert!(said.contains("this request has ended"), "{said}");
}

#[test]
fn timers_repeat_until_cancelled() {
    let rig = doing(
        "local n = 0
         local timer
         timer = gateway.every(5, function() n = n + 1 gateway.log.info('tick ' .. n) if n == 3 then timer:cancel() end end)
         gateway.after(2, function() gateway.log.info('after') end)
         local never = gateway.after(9, function() gateway.log.info('never') end)
         assert(never:cancel() == true)
         assert(never:cancel() == false)",
    );
    rig.world.delay.set(1);
    rig.request().0.unwrap();
    for _ in 0..20 {
        rig.tick();
    }
    assert_eq!(rig.world.tasks.borrow().len(), 0);
    let said = lines(&rig);
    assert!(said.contains("tick 3") && said.contains("after"), "{said}");
    assert!(!said.contains("never") && !said.contains("tick 4"), "{said}");
}

#[test]
fn a_failing_task_harms_nobody() {
    let rig = doing(
        "gateway.spawn(function() error('oops') end)
         gateway.every(1, function() error('again') end)
         gateway.after(2, function() while true do end end)",
    );
    rig.world.delay.set(1);
    rig.request().0.unwrap();
    for _ in 0..4 {
        rig.tick();
    }
    let said = lines(&rig);
    assert!(said.contains("background: ") && said.contains("oops"), "{said}");
    assert!(said.contains("over its CPU time"), "{said}");
    assert!(said.contains("f0.lua:4: again"), "{said}");
    // The VM was killed: its timers ended with it, and the next exchange has a new one.
    assert_eq!(rig.tick(), 0);
    rig.request().0.unwrap();
}

#[test]
fn a_storm_of_tasks_ends_with_the_first_that_is_killed() {
    let rig = doing(
        "for n = 1, 100 do
           gateway.spawn(function() local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end end)
         end",
    );
    rig.request().0.unwrap();
    for _ in 0..4 {
        rig.tick();
    }
    let said = lines(&rig);
    assert_eq!(said.matches("over its memory").count(), 1, "{said}");
    rig.request().0.unwrap();
}

#[test]
fn tasks_are_bounded() {
    let rig = doing(
        "local n, why = 0
         while true do
           local task
           task, why = gateway.after(60, function() end)
           if not task then break end
           n = n + 1
         end
         return { body = n .. ' ' .. why }",
    );
    rig.world.delay.set(10);
    let (_, mut exchange) = rig.request();
    assert_eq!(text(&mut exchange.response.body), "1024 too many tasks");
}

#[test]
fn a_script_that_starts_tasks_while_it_loads_is_booted_at_once() {
    let rig = rig(
        "gateway.every(10, function() gateway.log.info('beat') end) return { log = function() end }",
    );
    // A wait that is over at once would never let go of the thread.
    rig.world.delay.set(1);
    for _ in 0..4 {
        rig.tick();
    }
    assert!(lines(&rig).contains("beat"), "{}", lines(&rig));
    // Nothing is left when the generation goes.
    let world = rig.world.clone();
    let mut exchange = exchange();
    let mut filter = rig.realm.start(0);
    run(&mut *filter, Phase::Log, &mut exchange).unwrap();
    drop(filter);
    let Rig { realm, library, .. } = rig;
    drop((realm, library));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut tasks = std::mem::take(&mut *world.tasks.borrow_mut());
    tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
    assert!(tasks.is_empty());
}

#[test]
fn mistakes() {
    for (body, want) in [
        ("gateway.spawn(1)", "gateway.spawn takes a function, not a number"),
        ("gateway.after('x', print)", "gateway.after takes a number of seconds"),
        ("gateway.after(-1, print)", "gateway.after takes a number of seconds"),
        ("gateway.every(0, print)", "gateway.every takes a number of seconds"),
        ("gateway.every(1)", "gateway.every takes a function, not a nil"),
    ] {
        let message = failure(body).message;
        assert!(message.contains(want), "{body}: {message}");
    }
}

#[test]
fn each_kind_of_task_can_be_given_up() {
    let rig = doing(
        "local function say(what) return function() gateway.log.info(what) end end
         assert(gateway.spawn(say 'spawned'):cancel() == true)
         assert(gateway.after(0, say 'after'):cancel() == true)
         assert(gateway.every(1, say 'every'):cancel() == true)
         -- One that runs comes to its end, and does not begin again.
         local long long = gateway.every(1, function()
           gateway.log.info('begun ' .. tostring(long:cancel()))
           gateway.sleep(1)
           gateway.log.info('ended ' .. tostring(long:cancel()))
         end)
         local done = gateway.spawn(say 'done')
         gateway.after(60, function() gateway.log.info('late ' .. tostring(done:cancel())) end)",
    );
    rig.world.delay.set(2);
    rig.request().0.unwrap();
    while rig.tick() > 0 {}
    let said = lines(&rig);
    let said: Vec<_> = said.lines().map(|line| line.rsplit(": ").next().unwrap()).collect();
    assert_eq!(said, ["done", "begun true", "late false", "ended false"]);
}

#[test]
fn a_storm_of_timers_ends_with_its_vm() {
    let rig = crate::nginx::access(
        "if ngx.var.uri == '/loop' then while true do end end
         local function f() ngx.timer.at(0, f) end
         f()",
        |plan| plan.filters[0].cpu = Duration::from_millis(10),
    );
    rig.request().0.unwrap();
    assert!((0..20).all(|_| rig.tick() > 0));
    let mut exchange = exchange();
    exchange.request.head.set_path(b"/loop").unwrap();
    run(&mut *rig.realm.start(0), Phase::Request, &mut exchange).unwrap_err();
    assert!((0..20).any(|_| rig.tick() == 0));
}

/// A storm waits in line for its half of the worker's time: each task gets its turn, given up ones and
/// those that wait on their way included.
#[test]
fn all_of_a_storm_have_their_turn() {
    let rig = rig("local ran, f = 0, {}
        function f.request(req)
          if req.path == '/ran' then return { body = tostring(ran) } end
          local tasks = {}
          for i = 1, 300 do
            tasks[i] = gateway.spawn(function()
              local x = 0
              for n = 1, 3e5 do x = x + n % 7 end
              if i % 3 == 0 then gateway.sleep(0.001) end
              ran = ran + 1
            end)
          end
          for i = 1, 300, 10 do tasks[i]:cancel() end
          return { body = 'x' }
        end
        return f");
    rig.world.delay.set(2);
    rig.request().0.unwrap();
    let mut rounds = 0;
    while rig.tick() > 0 {
        rounds += 1;
        assert!(rounds < 100_000, "some never have their turn");
    }
    let mut exchange = exchange();
    exchange.request.head.set_path(b"/ran").unwrap();
    run(&mut *rig.realm.start(0), Phase::Request, &mut exchange).unwrap();
    assert_eq!(text(&mut exchange.response.body), "270");
}
