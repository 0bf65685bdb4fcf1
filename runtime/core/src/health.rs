//! Whether an endpoint is well, by its probes.

use pilotlight_config::manifest;

/// What probes have shown of an endpoint. It is well until one says something else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    down: bool,
    /// A probe has confirmed it.
    sure: bool,
    /// Probes in a row that said otherwise.
    streak: u32,
}

impl Health {
    /// As it was when somebody last looked: the next probe decides alone.
    pub fn remembered(down: bool) -> Health {
        Health { down, sure: false, streak: 0 }
    }

    /// Whether it takes requests.
    pub fn is_up(&self) -> bool {
        !self.down
    }

    /// A probe has ended. True: that has changed what holds.
    pub fn probed(&mut self, well: bool, rules: &manifest::Health) -> bool {
        let needed = match (self.sure, well) {
            (false, _) => 1,
            (true, true) => rules.healthy,
            (true, false) => rules.unhealthy,
        };
        self.sure = true;
        if well == self.is_up() {
            self.streak = 0;
            return false;
        }
        self.streak += 1;
        let changes = self.streak >= needed;
        if changes {
            (self.down, self.streak) = (!well, 0);
        }
        changes
    }
}

#[cfg(test)]
mod tests;
