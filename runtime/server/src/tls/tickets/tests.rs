//! Tickets are good with their own keys, and with those alone.

use super::*;

#[test]
fn tickets_outlive_what_is_written_down() {
    let realm = (Some([7; 32]), true);
    let ticketer = shared(realm.0, realm.1).unwrap();
    let ticket = ticketer.encrypt(b"a session").unwrap();
    let mut kept = Writer::default();
    keep(&mut kept);
    // As a new process begins: other keys, until the old ones are back.
    let fresh = |key: Key| Keys { current: key, last: None };
    let find = || {
        let realms = REALMS.lock().unwrap();
        realms.iter().find(|(known, _)| *known == realm).unwrap().1.clone()
    };
    *find().0.write().unwrap() = fresh(Key::new().unwrap());
    assert_eq!(ticketer.decrypt(&ticket), None);
    assert_eq!(take_back(&mut Reader(&kept.0)), Some(()));
    assert_eq!(ticketer.decrypt(&ticket).unwrap(), b"a session");
    for at in 0..ticket.len() {
        let mut broken = ticket.clone();
        broken[at] ^= 1;
        assert_eq!(ticketer.decrypt(&broken), None, "{at}");
    }
}

#[test]
fn keys_turn_and_the_last_one_is_good_for_one_more_turn() {
    let ticketer = shared(Some([8; 32]), false).unwrap();
    let ticket = ticketer.encrypt(b"x").unwrap();
    let age = |by: Duration| {
        let realms = REALMS.lock().unwrap();
        let own = &realms.iter().find(|(known, _)| *known == (Some([8; 32]), false)).unwrap().1;
        let mut keys = own.0.write().unwrap();
        keys.current.born = clock::wall() - by;
    };
    age(TURN + Duration::from_secs(60));
    assert_eq!(ticketer.decrypt(&ticket).unwrap(), b"x");
    assert_ne!(ticketer.encrypt(b"x").unwrap()[..NAME], ticket[..NAME]);
    age(TURN + Duration::from_secs(60));
    assert_eq!(ticketer.decrypt(&ticket), None);
}
