//! The monthly cost of a stack when nothing runs, in us-east-1, mid-2026.

/// Hours of a month, as AWS counts.
const HOURS: f64 = 730.0;

/// One line of the bill.
pub(super) struct Item {
    pub(super) what: &'static str,
    pub(super) dollars: f64,
}

/// The costs while nothing runs. Storage is added to them, by its size.
pub(super) fn idle(outbound: Option<&str>) -> Vec<Item> {
    let network = match outbound {
        Some("endpoints") => Some(Item { what: "Lambda endpoint in two zones", dollars: 2.0 * 0.01 * HOURS }),
        // The gateway and its public address.
        Some("nat") => Some(Item { what: "NAT gateway", dollars: (0.045 + 0.005) * HOURS }),
        _ => None,
    };
    network.into_iter().collect()
}

/// The costs of storage, for the bill.
pub(super) const STORAGE: &str = "files $0.30 a GB (a third of it or less once they are cold), \
    bucket $0.023 a GB, function, table and rule nothing";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_what_costs() {
        let sum = |outbound| idle(outbound).iter().map(|item| item.dollars).sum::<f64>();
        assert!((sum(Some("endpoints")) - 14.6).abs() < 1e-9 && (sum(Some("nat")) - 36.5).abs() < 1e-9);
        assert_eq!(sum(None), 0.0);
    }
}
