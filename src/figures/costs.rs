//! What answers cost, as metrics.

use super::{Sink, Value};
use crate::llm::{Account, Balance, NanoDollars, Reason};

pub(super) fn add_costs(sink: &mut impl Sink, balance: &Balance) {
    for Account { model, space, tenant, reasons, .. } in &balance.accounts {
        for (reason, sums) in reasons {
            let (saves, spends) = sides(*reason);
            let tenant = tenant.as_deref().unwrap_or_default();
            let labels = [("space", space.as_str()), ("tenant", tenant), ("model", model), ("reason", reason.as_str())];
            sink.add("larder_llm_requests_total", &labels, sums.requests);
            if saves || sums.saved > NanoDollars::ZERO {
                sink.add("larder_llm_saved_dollars_total", &labels, Value::Dollars(sums.saved));
            }
            if spends || sums.spent > NanoDollars::ZERO {
                sink.add("larder_llm_spent_dollars_total", &labels, Value::Dollars(sums.spent));
            }
            let with = |kind| [labels[0], labels[1], labels[2], labels[3], ("kind", kind)];
            sink.add("larder_llm_unknown_total", &with("unpriced"), sums.unpriced);
            sink.add("larder_llm_unknown_total", &with("unmetered"), sums.unmetered);
        }
    }
}

/// Whether money is saved for a reason, and whether it is spent: a counter begins at zero.
fn sides(reason: Reason) -> (bool, bool) {
    match reason {
        Reason::Hit | Reason::Coalesced | Reason::Stale => (true, false),
        Reason::Fallback => (true, true),
        Reason::Miss | Reason::Bypass | Reason::Refresh => (false, true),
    }
}
