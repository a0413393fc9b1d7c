//! `herd check`: validates a topology and draws who talks to whom.

use crate::failure::Failure;
use crate::flags::Flags;
use crate::terminal;
use crate::topology::File;
use herd_core::topology::Topology;

/// Prints the drawing of a file that was read, which is nearly all there is to validate.
pub fn run(file: &File) -> Result<(), Failure> {
    // The settings are part of the file, so impossible ones are refused here too.
    file.check(&Flags::default())?;
    terminal::show(&format!("{}: {}", file.path.display(), picture(&file.topology)))
}

fn picture(topology: &Topology) -> String {
    let servers = count(topology.servers().len(), "server");
    let links = count(topology.links().len(), "link");
    let hops = count(topology.longest_route(), "hop");
    format!("{servers}, {links}, at most {hops}\n\n{}", topology.drawing())
}

fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use herd_core::topology::Server;

    #[test]
    fn the_picture_counts_what_it_draws() {
        let server = |name: &str, port: u16| Server {
            name: name.to_owned(),
            clients: format!("h:{port}"),
            peers: format!("h:{}", port + 10),
            speaks: None,
        };
        let links = [("A".to_owned(), "B".to_owned())];
        let herd = Topology::new(vec![server("A", 1), server("B", 2)], &links).expect("a valid topology");
        assert_eq!(picture(&herd), "2 servers, 1 link, at most 1 hop\n\nA  ●   B\nB  ●   A\n");
    }
}
