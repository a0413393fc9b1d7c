//! What a server says about itself when `herd status` or the launcher asks.

use crate::dialect::Dialect;
use serde::{Deserialize, Serialize};

/// The state of one server at one moment, as it travels: one line of JSON.
///
/// Fields may be added; a reader skips those it does not know and fills those it misses with their defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The server's name in the topology.
    pub name: String,
    /// The version of the program it runs.
    #[serde(default)]
    pub version: String,
    /// The operating system's number of its process; 0 when it does not say.
    #[serde(default)]
    pub pid: u32,
    /// How many clients it has a location of.
    #[serde(default)]
    pub clients_known: u64,
    /// How many records it forgot because their time was up.
    #[serde(default)]
    pub records_expired: u64,
    /// How many it refused because their time was up when they came, from neighbours or its own disk.
    #[serde(default)]
    pub records_late: u64,
    /// Whole seconds since it started.
    #[serde(default)]
    pub uptime_s: u64,
    /// How many panics there were: each ended a connection or a question, and is a mistake of the program.
    #[serde(default)]
    pub panics: u64,
    /// How many whole days are left until others do not take its certificate any more; none where there is no TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_days: Option<u64>,
    /// Its links by name, and then those to neighbours of another make, in the order of the topology.
    #[serde(default)]
    pub links: Vec<LinkReport>,
}

/// The state of one link of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkReport {
    /// The neighbour's name.
    pub name: String,
    /// Whether the handshake is done and the link is not known to be broken; of a neighbour of another make, whether
    /// it answers.
    pub up: bool,
    /// How many whole seconds ago both sides of the link were last found to know exactly the same; none if they were not
    /// since it began. While there is news they seldom do at the moment when they compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equal_s: Option<u64>,
    /// What a neighbour of another make speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaks: Option<Dialect>,
    /// How many messages from there could not be read exactly and were refused, of a neighbour of another make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// How many messages were not said there because it would not have read all of them, of a neighbour of another make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_long: Option<u64>,
}

impl Report {
    /// Counts the links that are up.
    #[must_use]
    pub fn links_up(&self) -> usize {
        self.links.iter().filter(|link| link.up).count()
    }

    /// Tells whether the link to a neighbour is up; a neighbour this server does not have is not.
    #[must_use]
    pub fn is_linked_to(&self, neighbour: &str) -> bool {
        self.links.iter().any(|link| link.up && link.name == neighbour)
    }

    /// Writes the report as one line of JSON, ended by a newline.
    #[must_use]
    pub fn to_line(&self) -> String {
        // Strings and whole numbers always serialise; an empty line would read as a malformed report.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }

    /// Reads a report from the bytes of its line; `None` when they are none.
    #[must_use]
    pub fn from_line(line: &[u8]) -> Option<Report> {
        serde_json::from_slice(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn link(name: &str, up: bool) -> LinkReport {
        LinkReport { name: name.to_owned(), up, ..LinkReport::default() }
    }

    #[test]
    fn only_links_that_are_up_are_counted() {
        let report = Report { links: vec![link("Hands", true), link("Wilkes", false)], ..Report::default() };
        assert_eq!(report.links_up(), 1);
        assert!(report.is_linked_to("Hands"));
        assert!(!report.is_linked_to("Wilkes"));
        assert!(!report.is_linked_to("Welsh"));
    }

    #[test]
    fn a_report_of_another_version_is_read_as_far_as_it_is_known() {
        let line = br#"{"name":"Hands","new":[1],"links":[{"name":"Wilkes","up":true,"newer":"field"}]}"#;
        let report = Report::from_line(line).expect("a report");
        assert_eq!(report.name, "Hands");
        assert_eq!(report.pid, 0);
        assert_eq!(report.links, vec![link("Wilkes", true)]);
    }

    #[test]
    fn a_neighbour_of_another_make_is_reported_with_what_it_speaks() {
        let links = vec![LinkReport { speaks: Some(Dialect::Trail), refused: Some(2), ..link("P", false) }];
        let line = Report { links, ..Report::default() }.to_line();
        assert!(line.contains(r#"{"name":"P","up":false,"speaks":"trail","refused":2}"#), "{line}");
        assert!(!Report { links: vec![link("A", true)], ..Report::default() }.to_line().contains("speaks"));
    }

    #[test]
    fn what_is_no_report_is_none() {
        for line in ["", "null", "[]", "{", "REFUSED who are you", "{\"uptime_s\":1}"] {
            assert_eq!(Report::from_line(line.as_bytes()), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn a_report_survives_its_line(name in ".*", clients_known: u64, uptime_s: u64, pid: u32, up: bool) {
            let links = vec![link(&name, up)];
            let (version, records_late, panics) = (name.clone(), uptime_s, clients_known / 7);
            let rest = Report { records_late, panics, ..Report::default() };
            let report = Report { name, version, pid, clients_known, uptime_s, links, ..rest };
            let line = report.to_line();
            prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
            prop_assert_eq!(Report::from_line(line.as_bytes()), Some(report));
        }
    }
}
