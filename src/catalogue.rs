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
    /// The variable that stands for it, if one does.
    pub variable: Option<&'static str>,
}

/// Lists the flags of every command, a flag of several of them as often.
pub fn flags() -> Vec<Flag> {
    let mut all = Vec::new();
    collect(&Options::clap(), &mut all);
    all
}

fn collect(app: &App<'static, 'static>, all: &mut Vec<Flag>) {
    let bare = |name| Flag { name, takes_value: false, variable: None };
    all.extend(app.p.flags.iter().filter_map(|flag| flag.s.long).map(bare));
    all.extend(app.p.opts.iter().filter_map(|valued| {
        let variable = valued.v.env.as_ref().and_then(|(variable, _)| variable.to_str());
        Some(Flag { name: valued.s.long?, takes_value: true, variable })
    }));
    app.p.subcommands.iter().for_each(|command| collect(command, all));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_all_commands_are_known_with_what_they_take() {
        let all = flags();
        for name in ["open", "memory-only", "places-file-only", "json", "until-stdin-ends"] {
            assert!(all.contains(&Flag { name, takes_value: false, variable: None }), "{name}");
        }
        for (name, variable) in [
            ("topology", Some("HERD_TOPOLOGY")),
            ("line-max", Some("HERD_LINE_MAX")),
            ("places-url", Some("GOOGLE_PLACES_URL")),
            ("connections", None),
        ] {
            assert!(all.contains(&Flag { name, takes_value: true, variable }), "{name}");
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
