//! `wasi:keyvalue`: buckets are dictionaries.

use super::gateway;
use crate::support::message::{Protocol, ask};
use crate::support::{Request, run};

#[test]
fn an_application_keeps_what_it_knows_in_the_buckets_that_it_is_granted() {
    run(async {
        let route = "shared = { default = \"notes\" }\nlimits = { cpu = \"60s\" }";
        let rest = "[shared.notes]\nsize = \"256KiB\"\n[shared.others]\nsize = \"64KiB\"\n";
        let gateway = gateway(route, rest).await;
        let said = async |query: &str| {
            let request = Request::get(&format!("/keyvalue?{query}"));
            ask(Protocol::H1, &gateway, &request).await.text()
        };
        // A dictionary that is not granted is none, whatever it is called.
        for name in ["others", "notes", "none", ""] {
            assert_eq!(said(&format!("{name},get:a")).await, "Error::NoSuchStore");
        }
        let words = "default,get:a,exists:a,set:a:one,get:a,exists:a,set:a:two,get:a";
        assert_eq!(said(words).await, "none false set one true set two");
        // Each exchange has an instance of its own: what is kept is in the dictionary.
        assert_eq!(said("default,get:a,delete:a,delete:a,get:a").await, "two deleted deleted none");
        assert_eq!(said("default,add:n:5,add:n:2,get:n").await, "5 7 7");
        assert_eq!(said("default,add:n:1").await, "8");
        let not_a_number = said("default,set:t:text,add:t:1").await;
        assert!(not_a_number.starts_with("set Error::Other"), "{not_a_number}");
        assert_eq!(said("default,delete:n,delete:t,count").await, "deleted deleted 0 in 1");
        assert_eq!(said("default,many:1500:k").await, "1500 4890");
        assert_eq!(said("default,get:k1499,count").await, "1499 1500 in 2");
        assert_eq!(said("default,forget:1500:k,count").await, "forgotten 0 in 1");
        // More than a dictionary holds, and more than fits an answer.
        let full = said("default,fill:big:1000000").await;
        assert!(full.starts_with("Error::Other"), "{full}");
        assert_eq!(said("default,fill:b:100000,repeat:b:100").await, "filled 100");
        let much = said("default,repeat:b:1000").await;
        assert!(much.contains("more values than fit"), "{much}");
        assert_eq!(said("default,set:a:still,get:a").await, "set still");
    });
}
