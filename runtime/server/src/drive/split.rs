//! The target is one of several upstreams.

use pilotlight_config::manifest::Route;
use pilotlight_filter::{Exchange, Name, Origin};

use super::turn::Turn;
use super::{Left, Reached};
use crate::codec::Downstream;

impl Turn<'_> {
    /// From here on the exchange is one of the upstream that was chosen, in logs, metrics and for filters.
    pub(super) async fn split(
        &mut self,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
        route: &Route,
        index: usize,
    ) -> Result<Reached, Left> {
        let local = self.local.clone();
        let meant = &local.generation.manifest.upstreams[index];
        if exchange.upstream.as_ref().is_some_and(|chosen| *chosen != meant.name) {
            // A filter has chosen another.
            return self.proxy(exchange, down, route, index).await;
        }
        let fields = Some(&exchange.request.head.fields);
        let (target, is_new) = local.variant(index, fields, self.inlet.worker.random());
        let name = &local.generation.manifest.upstreams[target].name;
        exchange.upstream = Some(name.clone());
        let cookie = meant.split.as_ref().and_then(|split| split.cookie.as_deref());
        let cookie = cookie.filter(|_| is_new).map(|cookie| {
            let secure = if self.inlet.peer.tls.is_some() { "; Secure" } else { "" };
            format!("{cookie}={name}; Path=/; HttpOnly; SameSite=Lax{secure}")
        });
        let reached = self.proxy(exchange, down, route, target).await?;
        if let Some(cookie) = cookie.filter(|_| exchange.response.origin == Some(Origin::Upstream))
        {
            exchange.response.head.fields.push(Name::SetCookie, cookie.as_bytes());
        }
        Ok(reached)
    }
}
