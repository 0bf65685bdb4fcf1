//! Names of servers as hosts of matches.

use super::Import;
use super::server::Server;
use crate::matching::is_host;

/// The hosts that a server's names stand for, as far as a match can say them.
pub(super) fn hosts(import: &mut Import<'_>, server: &Server<'_>) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    let directives = server.directive.children().iter().filter(|one| one.name == "server_name");
    for directive in directives {
        for name in &directive.args {
            let lower = name.trim_end_matches('.').to_ascii_lowercase();
            let made: Vec<String> = match lower.as_str() {
                // No client asks for these.
                "" | "_" | "--" | "\"\"" => Vec::new(),
                all if all.starts_with('.') => vec![all[1..].to_owned(), format!("*{all}")],
                one if is_host(one) => vec![one.to_owned()],
                _ => {
                    let what = format!("no match says the server name {name:?}");
                    let todo = "write the names one by one, or \"*.example.com\" for all below";
                    import.note(&directive.spot, what, todo);
                    Vec::new()
                }
            };
            for host in made {
                if !hosts.contains(&host) {
                    hosts.push(host);
                }
            }
        }
    }
    hosts
}
