//! What is known to go well is not tried again; whatever a trial depends on, another is.

use pilotlight_filter::abi::Phase;
use pilotlight_filter::engine::{Engine, Plan};
use pilotlight_lua::LuaEngine;

use crate::rig::*;

const SCRIPT: &str = "local words = require('words')
gateway.export('greet', function() return words.hello end)
return { request = function(req) req.headers['x-said'] = words.hello end, log = function() end }";

fn written(script: &str) -> (Dir, Plan) {
    let dir = Dir::new();
    let mut plan = plan(&dir);
    dir.write("lua/words/init.lua", "return { hello = 'hello' }");
    plan.filters.push(spec("f", dir.write("filters/f.lua", script)));
    (dir, plan)
}

/// Loads it: how many scripts were tried.
fn load_again(plan: &mut Plan) -> usize {
    let library = LuaEngine::new().load(plan).unwrap_or_else(|errors| panic!("{errors:?}"));
    plan.found = library.found();
    library.tried()
}

#[test]
fn a_script_that_is_known_is_not_tried_and_works() {
    let (dir, mut plan) = written(SCRIPT);
    let first = LuaEngine::new().load(&plan).unwrap();
    assert_eq!(first.tried(), 1);
    plan.found = first.found();
    let library = LuaEngine::new().load(&plan).unwrap();
    assert_eq!((library.tried(), library.phases(0)), (0, first.phases(0)));
    assert!(library.phases(0).has(Phase::Log));
    let world = std::rc::Rc::new(World::default());
    let realm = library.open(world.clone());
    let rig = Rig { world, library, realm, _dir: dir };
    assert_eq!(rig.heap(), 0, "no VM before the first exchange");
    let (result, exchange) = rig.request();
    result.unwrap();
    assert_eq!(exchange.request.head.fields.get(b"x-said"), Some(&b"hello"[..]));
    assert!(rig.realm.exported("greet", b"").is_some());
    // What is found is handed on, sleep after sleep.
    plan.found = rig.library.found();
    assert_eq!(load_again(&mut plan), 0);
}

#[test]
fn what_a_trial_depends_on_is_all_of_it() {
    type Change = fn(&Dir, &mut Plan);
    let changes: [(&str, Change); 8] = [
        ("its text", |dir, _| drop(dir.write("filters/f.lua", &format!("{SCRIPT} -- new")))),
        ("its configuration", |_, plan| plan.filters[0].config = b"x".to_vec()),
        ("its name", |_, plan| plan.filters[0].name = "g".into()),
        ("its memory", |_, plan| plan.filters[0].memory = Some(4 << 20)),
        ("a variable", |_, plan| plan.env[0].1 = "ber".into()),
        ("a dictionary", |_, plan| plan.shared.push("more".into())),
        ("a module", |dir, _| drop(dir.write("lua/words/init.lua", "return { hello = 'hi' }"))),
        ("one in its place", |dir, _| drop(dir.write("lua/words.lua", "return { hello = 'hi' }"))),
    ];
    for (what, change) in changes {
        let (dir, mut plan) = written(SCRIPT);
        assert_eq!([load_again(&mut plan), load_again(&mut plan)], [1, 0]);
        change(&dir, &mut plan);
        assert_eq!([load_again(&mut plan), load_again(&mut plan)], [1, 0], "{what}");
    }
}

#[test]
fn a_script_that_broke_is_refused_as_ever() {
    let (dir, mut plan) = written(SCRIPT);
    load_again(&mut plan);
    let file = dir.write("filters/f.lua", "local a = 1\nreturn {{");
    let Err(errors) = LuaEngine::new().load(&plan) else { panic!("it loads") };
    assert_eq!((errors[0].file.as_ref(), errors[0].line), (Some(&file), Some(2)));
    std::fs::remove_file(&file).unwrap();
    let Err(errors) = LuaEngine::new().load(&plan) else { panic!("it loads") };
    assert!(errors[0].message.contains("can't read the script"), "{}", errors[0].message);
    dir.write("filters/f.lua", SCRIPT);
    dir.write("lua/words/init.lua", "error('not today')");
    let Err(errors) = LuaEngine::new().load(&plan) else { panic!("it loads") };
    assert!(errors[0].message.contains("not today"), "{}", errors[0].message);
}

#[test]
fn what_may_read_anything_is_tried_each_time() {
    let (_dir, mut plan) = written(SCRIPT);
    plan.script.io = true;
    assert_eq!([load_again(&mut plan), load_again(&mut plan)], [1, 1]);
}

#[test]
fn what_can_not_be_read_is_not_known() {
    let (_dir, mut plan) = written(SCRIPT);
    load_again(&mut plan);
    let whole = plan.found.clone();
    for at in 0..whole.len() {
        plan.found = whole[..at].to_vec();
        assert_eq!(load_again(&mut plan), 1, "{at}");
    }
}

/// A script has what it names; one that may name anything has all.
#[test]
fn an_environment_holds_what_its_script_can_reach() {
    let mentions = rig("return { request = function(req)
        return { body = table.concat({ math.max(1, 2), ('x'):rep(2), tostring(string), type(os.time) }, ' ') }
    end }");
    let (_, mut exchange) = mentions.request();
    let said = text(&mut exchange.response.body);
    assert!(said.starts_with("2 xx table: ") && said.ends_with(" function"), "{said}");
    let counts = "local n = 0 for name, value in pairs(_G) do n = n + (type(value) == 'table' and 1 or 0) end
        return { request = function() return { body = n .. ' ' .. type(_G.bit.band) } end }";
    let (_, mut exchange) = rig(counts).request();
    assert_eq!(text(&mut exchange.response.body), "11 function");
    let loads = "return { request = function() return { body = load('return bit.bor(1, 2)')() .. '' } end }";
    let (_, mut exchange) = rig(loads).request();
    assert_eq!(text(&mut exchange.response.body), "3");
}
