//! The long flags of all commands, as clap knows them.
//!
//! That is hidden in the documentation of clap, of which there will be no other version 2.

use crate::options::Options;
use structopt::StructOpt;
use structopt::clap::App;

/// A long flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// Its name, without the dashes.
    pub name: &'static str,
    /// Whether a value follows it.
    pub takes_value: bool,
}

/// Lists the flags of every command, a flag of several of them as often.
pub fn flags() -> Vec<Flag> {
    let mut all = Vec::new();
    collect(&Options::clap(), &mut all);
    all
}

fn collect(app: &App<'static, 'static>, all: &mut Vec<Flag>) {
    let flag = |name: Option<&'static str>, takes_value| name.map(|name| Flag { name, takes_value });
    all.extend(app.p.flags.iter().filter_map(|bare| flag(bare.s.long, false)));
    all.extend(app.p.opts.iter().filter_map(|valued| flag(valued.s.long, true)));
    app.p.subcommands.iter().for_each(|command| collect(command, all));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_all_commands_are_known_with_what_they_take() {
        let all = flags();
        for name in ["open", "memory-only", "places-file-only", "json", "until-stdin-ends"] {
            assert!(all.contains(&Flag { name, takes_value: false }), "{name}");
        }
        for name in ["topology", "line-max", "places-file", "connections", "features"] {
            assert!(all.contains(&Flag { name, takes_value: true }), "{name}");
        }
    }

    #[test]
    fn no_flag_takes_a_value_of_one_command_alone() {
        let all = flags();
        for flag in &all {
            assert!(all.iter().all(|other| other.name != flag.name || other == flag), "{}", flag.name);
        }
    }
}
