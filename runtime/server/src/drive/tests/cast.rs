//! The filters of these tests, by their names.

use std::task::{Context, Poll};

use pilotlight_abi::Phase;
use pilotlight_filter::{Call, Exchange, Fault, Filter, Verdict};

use super::rig::{Part, Player, tell};
use super::{choice, connect, errors, reroute, stream, subrequest};

pub(super) fn cast(name: &str) -> Part {
    let parts = [
        stream::part,
        reroute::part,
        subrequest::part,
        choice::part,
        connect::part,
        errors::part,
        part,
    ];
    parts.iter().find_map(|part| part(name)).unwrap_or_else(|| panic!("nobody plays {name}"))
}

/// A part in these phases.
pub(super) fn role(phases: &[Phase], play: Player) -> Option<Part> {
    Some(Part { phases: phases.iter().copied().collect(), play })
}

fn part(name: &str) -> Option<Part> {
    match name {
        "notes" => role(&Phase::ALL, |_| Box::new(Notes { all: false })),
        "sees_all" => role(&Phase::ALL, |_| Box::new(Notes { all: true })),
        _ => None,
    }
}

/// Notes each phase.
struct Notes {
    /// Also of requests that do not get here.
    all: bool,
}

impl Filter for Notes {
    fn poll(&mut self, _: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let Exchange { request, response, route, .. } = &*call.exchange;
        tell(match (&call.chunk, call.phase) {
            (Some(chunk), phase) => {
                let data = String::from_utf8_lossy(&chunk.data);
                format!("{} {data:?}{}", phase.name(), if chunk.last { " last" } else { "" })
            }
            (None, Phase::Response) => format!("response {}", response.head.status),
            (None, phase) => {
                let path = String::from_utf8_lossy(request.head.path());
                format!("{} {route} {path}", phase.name())
            }
        });
        Poll::Ready(Ok(Verdict::Continue))
    }

    fn sees_all(&self) -> bool {
        self.all
    }
}
