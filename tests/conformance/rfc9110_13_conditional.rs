//! RFC 9110 sections 13 and 14: conditions and ranges, of the target `files`.

use crate::support::gateway::Setup;
use crate::support::message::{ALL, ask};
use crate::support::{Gateway, Request, run};

async fn files() -> Gateway {
    Setup::new("[[routes]]\nmatch = { path = \"/*\" }\nfiles = \"www\"\n")
        .file("www/a.txt", "0123456789")
        .start()
        .await
}

/// Section 13.1.2: If-None-Match by weak comparison, in a list, and before If-Modified-Since (13.2.2).
#[test]
fn if_none_match() {
    run(async {
        let gateway = files().await;
        for protocol in ALL {
            let first = ask(protocol, &gateway, &Request::get("/a.txt")).await;
            let (etag, modified) =
                (first.field("etag").unwrap(), first.field("last-modified").unwrap());
            for tag in [
                etag.to_owned(),
                format!("W/{etag}"),
                format!("\"x\", {etag}"),
                format!("\"x\" ,W/{etag}, \"y\""),
            ] {
                let again =
                    ask(protocol, &gateway, &Request::get("/a.txt").field("if-none-match", &tag))
                        .await;
                again.assert(304);
                assert!(again.body.is_empty());
                assert_eq!(again.field("etag"), Some(etag), "section 15.4.5");
            }
            let both = Request::get("/a.txt")
                .field("if-none-match", "\"x\"")
                .field("if-modified-since", modified);
            ask(protocol, &gateway, &both).await.assert(200);
        }
    });
}

/// Section 13.1.3: a date later than the file's is as good as the same; what is no date is ignored.
#[test]
fn if_modified_since() {
    run(async {
        let gateway = files().await;
        let ask_since = async |date: &str| {
            ask(ALL[0], &gateway, &Request::get("/a.txt").field("if-modified-since", date))
                .await
                .status
        };
        let first = ask(ALL[0], &gateway, &Request::get("/a.txt")).await;
        assert_eq!(ask_since(first.field("last-modified").unwrap()).await, 304);
        assert_eq!(ask_since("Thu, 01 Jan 1970 00:00:00 GMT").await, 200);
        assert_eq!(ask_since("Fri, 31 Dec 2100 23:59:59 GMT").await, 304);
        assert_eq!(ask_since("yesterday").await, 200);
    });
}

/// Section 13.1.1: If-Match with other tags fails the request.
#[test]
fn if_match() {
    run(async {
        let gateway = files().await;
        let first = ask(ALL[0], &gateway, &Request::get("/a.txt")).await;
        let with = async |tag: &str| {
            ask(ALL[0], &gateway, &Request::get("/a.txt").field("if-match", tag)).await.status
        };
        assert_eq!(with(first.field("etag").unwrap()).await, 200);
        assert_eq!(with("*").await, 200);
        assert_eq!(with("\"other\"").await, 412);
    });
}

/// Section 13.1.5: If-Range with the file's own validator keeps the range.
#[test]
fn if_range() {
    run(async {
        let gateway = files().await;
        let first = ask(ALL[0], &gateway, &Request::get("/a.txt")).await;
        for validator in [first.field("etag").unwrap(), first.field("last-modified").unwrap()] {
            let part =
                Request::get("/a.txt").field("range", "bytes=0-0").field("if-range", validator);
            let part = ask(ALL[0], &gateway, &part).await;
            assert_eq!(part.assert(206).text(), "0");
        }
        // Section 13.1.5: a weak tag never matches.
        let weak = format!("W/{}", first.field("etag").unwrap());
        let part = Request::get("/a.txt").field("range", "bytes=0-0").field("if-range", &weak);
        ask(ALL[0], &gateway, &part).await.assert(200);
    });
}

/// Section 14.2: Range is for GET; several ranges may be answered whole.
#[test]
fn ranges() {
    run(async {
        let gateway = files().await;
        for protocol in ALL {
            let head = ask(
                protocol,
                &gateway,
                &Request::new("HEAD", "/a.txt").field("range", "bytes=0-1"),
            )
            .await;
            assert_eq!(head.assert(200).field("content-length"), Some("10"));
            let several =
                ask(protocol, &gateway, &Request::get("/a.txt").field("range", "bytes=0-1,3-4"))
                    .await;
            assert_eq!(several.assert(200).text(), "0123456789");
            let past =
                ask(protocol, &gateway, &Request::get("/a.txt").field("range", "bytes=8-99")).await;
            assert_eq!(past.assert(206).text(), "89");
            assert_eq!(past.field("content-range"), Some("bytes 8-9/10"));
            for bad in ["bytes=a-b", "bytes=", "bytes=-", "bytes=1", "bytes=+1-2"] {
                ask(protocol, &gateway, &Request::get("/a.txt").field("range", bad))
                    .await
                    .assert(200);
            }
        }
    });
}
