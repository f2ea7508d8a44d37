//! Slots on their way from one master to another.

use super::Cluster;

/// A slot that two nodes share: its old owner has some keys and asks for the others at its new owner.
#[derive(Debug)]
#[must_use]
pub(crate) struct Migration {
    slot: u16,
    from: usize,
    to: usize,
}

impl Cluster {
    /// Begins to move a slot from its owner to another master, and moves half of its keys, rounded up. Clients that want one of
    /// those are told `ASK`.
    pub(crate) async fn begin_migration(&self, slot: u16, to: usize) -> Migration {
        let from = self.owner(slot).await;
        let number = slot.to_string();
        let (source, target) = (self.id(from).await, self.id(to).await);
        self.nodes()[to].command(&["CLUSTER", "SETSLOT", &number, "IMPORTING", &source]).await;
        self.nodes()[from].command(&["CLUSTER", "SETSLOT", &number, "MIGRATING", &target]).await;
        let migration = Migration { slot, from, to };
        let count: usize = self.nodes()[from].query(&["CLUSTER", "COUNTKEYSINSLOT", &number]).await;
        if count > 0 {
            self.move_keys(&migration, count.div_ceil(2)).await;
        }
        migration
    }

    /// Moves the rest of the keys, and gives the slot away. Clients that do not know of it are told `MOVED`.
    pub(crate) async fn finish_migration(&self, migration: Migration) {
        // One by one, so that a client meets every state there is.
        while self.move_keys(&migration, 1).await {}
        let Migration { slot, from, to } = migration;
        let (number, target) = (slot.to_string(), self.id(to).await);
        let assign = ["CLUSTER", "SETSLOT", &number, "NODE", &target];
        // The new owner first: the old one would send clients there before it takes them.
        self.nodes()[to].command(&assign).await;
        self.nodes()[from].command(&assign).await;
        for master in self.masters().await {
            master.command(&assign).await;
        }
    }

    /// Moves a slot with all its keys to another master, key by key, while clients go on.
    pub(crate) async fn reshard(&self, slot: u16, to: usize) {
        let migration = self.begin_migration(slot, to).await;
        self.finish_migration(migration).await;
    }

    /// Moves up to `count` keys; false if there was none.
    async fn move_keys(&self, migration: &Migration, count: usize) -> bool {
        let Migration { slot, from, to } = migration;
        let (from, to) = (&self.nodes()[*from], &self.nodes()[*to]);
        let keys: Vec<Vec<u8>> = from.query(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &count.to_string()]).await;
        let port = to.port().to_string();
        let migrate: [&[u8]; 7] = [b"MIGRATE", b"127.0.0.1", port.as_bytes(), b"", b"0", b"5000", b"KEYS"];
        if !keys.is_empty() {
            let args: Vec<_> = migrate.into_iter().chain(keys.iter().map(Vec::as_slice)).collect();
            from.command(&args).await;
        }
        !keys.is_empty()
    }
}
