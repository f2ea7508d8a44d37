//! One fetch among all processes that share the store: what is to be asked of it.

use tokio::time::Instant;

use super::{
    fill::Fill,
    shared::Shared,
    slot::{Slot, head_key},
};
pub(super) use crate::coalesce::Others;
use crate::{
    coalesce::{Lead, claim},
    key::Key,
    store::{Claim, Store},
};

impl<St: Store, F, P> Shared<St, F, P> {
    /// Whether this process may fetch now; if not, the request is to be looked up again.
    pub(super) async fn may_fetch(&self, lead: &Lead, slot: &Slot, others: &mut Others, deadline: Instant) -> bool {
        let flight = lead.key();
        if !others.are_asked(flight) {
            return true;
        }
        let claim = self.claim(flight, slot, deadline).await;
        others.may_fetch(lead, claim).await
    }

    async fn claim(&self, flight: &Key, slot: &Slot, deadline: Instant) -> Claim {
        // What a HEAD of a stored GET brings is kept by nobody.
        if *flight == head_key(&slot.key) {
            return Claim::Free;
        }
        // By the place, whatever rendering is fetched: another's may serve, and what lies there is compared.
        claim(&self.store, &slot.key, slot.kept(), deadline).await
    }
}

impl<St: Store, F, P> Fill<St, F, P> {
    /// Whether it is for this process to refresh what was served stale; if not, another does, or did.
    pub(crate) async fn may_refresh(&mut self) -> bool {
        let Some(lead) = self.lead.as_ref().filter(|_| self.shared.settings.across.is_some()) else { return true };
        match self.shared.claim(lead.key(), &self.slot, self.shared.deadline()).await {
            Claim::Free => true,
            Claim::Held(lease) => {
                lead.hold(lease);
                true
            }
            Claim::Taken(_) | Claim::Changed => false,
        }
    }
}
