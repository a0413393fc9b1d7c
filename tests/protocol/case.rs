//! The form of the `.case` files: bytes in and bytes out, for people to read.
//!
//! A file is a list of cases, and each case is a list of steps, done from top to bottom on one connection:
//!
//! | line         | meaning                                                                                  |
//! |--------------|------------------------------------------------------------------------------------------|
//! | `-- name`    | starts a case, named by a sentence that says the rule                                    |
//! | `> bytes`    | the client writes these bytes as one segment                                             |
//! | `< bytes`    | the client reads, and must read exactly this                                             |
//! | `end`        | the client half-closes; without it, it does so after the last step                       |
//! | `split`      | the case is also run once for every offset at which its first segments can be cut in two |
//! | `# …`, blank | for people                                                                               |
//!
//! After the last step nothing more may come, and the server must close. A newline is written `\n`: a line of the
//! file does not imply one. Escapes: `\n \r \t \f \v \0 \s` (space) `\\ \{ \} \xHH`.
//!
//! | in braces       | meaning                                                                               |
//! |-----------------|---------------------------------------------------------------------------------------|
//! | `{me}`, `{you}` | a client ID that no other run uses                                                    |
//! | `{now}`         | the time at which the run began, in seconds with nine decimals; also `{now-5}`, `{now+300}` |
//! | `{server}`      | the name of the server                                                                |
//! | `{skew}`        | a sign, digits and nine decimals; added to the time at the end of the same line it must give a moment of this run, in exact nanoseconds |
//! | `{skew a}`      | the same, and the very same bytes wherever the name `a` comes again in the case       |
//! | `{places 5}`    | JSON with a `status` and a list of at most 5 `results`, up to the two newlines after it |
//! | `{repeat 9 x}`  | `x` nine times, where `x` may hold escapes and braces                                 |

/// One rule, and how it is shown.
#[derive(Debug, PartialEq)]
pub struct Case {
    pub name: String,
    /// The line of the file on which it starts.
    pub line: usize,
    pub steps: Vec<Step>,
    /// Whether it is also run split at every offset.
    pub split: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Say(Vec<Piece>),
    Hear(Vec<Piece>),
    End,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Bytes(Vec<u8>),
    Name(String),
    /// Seconds after the start of the run.
    Now(i64),
    Server,
    Skew(Option<String>),
    Places(usize),
}

/// Reads a file of cases, or says what is wrong in which line.
pub fn parse(text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = |problem: &str| format!("line {}: {problem}", index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("-- ") {
            cases.push(Case { name: name.to_owned(), line: index + 1, steps: Vec::new(), split: false });
            continue;
        }
        let case = cases.last_mut().ok_or_else(|| at("a step before the first case"))?;
        match line {
            "end" => case.steps.push(Step::End),
            "split" => case.split = true,
            _ => case.steps.push(step(line).map_err(|problem| at(&problem))?),
        }
    }
    check(cases)
}

/// Refuses names that say nothing and cases that show nothing.
fn check(cases: Vec<Case>) -> Result<Vec<Case>, String> {
    for (index, case) in cases.iter().enumerate() {
        let wrong = |problem: &str| Err(format!("line {}: {problem}", case.line));
        if case.name.split_whitespace().count() < 3 {
            return wrong("the name is no sentence");
        }
        if cases[..index].iter().any(|other| other.name == case.name) {
            return wrong("the name was used before");
        }
        if !case.steps.iter().any(|step| matches!(step, Step::Say(_))) {
            return wrong("nothing is said");
        }
    }
    Ok(cases)
}

fn step(line: &str) -> Result<Step, String> {
    let (kind, text) = line.split_at_checked(2).ok_or("neither `> …` nor `< …`")?;
    if line.ends_with(' ') {
        return Err("a space at the end cannot be seen: write \\s".to_owned());
    }
    let mut rest = text.chars();
    let pieces = merged(pieces(&mut rest, None)?);
    let is_answer = |piece: &Piece| matches!(piece, Piece::Server | Piece::Skew(_) | Piece::Places(_));
    match kind {
        "> " if pieces.iter().any(is_answer) => {
            Err("a client cannot say what only a server knows".to_owned())
        }
        "> " => Ok(Step::Say(pieces)),
        "< " => Ok(Step::Hear(pieces)),
        _ => Err("neither `> …` nor `< …`".to_owned()),
    }
}

/// Reads pieces to the end of the text, or to `end`, which it takes.
fn pieces(rest: &mut std::str::Chars, end: Option<char>) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    loop {
        match rest.next() {
            next if next == end => return Ok(pieces),
            None => return Err("a brace is not closed".to_owned()),
            Some('\\') => pieces.push(Piece::Bytes(vec![escaped(rest)?])),
            Some('{') => pieces.extend(braces(rest)?),
            Some('}') => return Err("a closing brace without an opening one: write \\}".to_owned()),
            Some(other) => pieces.push(Piece::Bytes(other.to_string().into_bytes())),
        }
    }
}

fn escaped(rest: &mut std::str::Chars) -> Result<u8, String> {
    Ok(match rest.next().ok_or("a backslash at the end")? {
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'f' => 0x0c,
        'v' => 0x0b,
        '0' => 0,
        's' => b' ',
        'x' => {
            let (digits, after) = rest.as_str().split_at_checked(2).ok_or("\\x wants two digits")?;
            *rest = after.chars();
            u8::from_str_radix(digits, 16).map_err(|_| format!("\\x{digits} is no byte"))?
        }
        itself @ ('\\' | '{' | '}') => itself as u8,
        other => return Err(format!("\\{other} means nothing")),
    })
}

/// Reads what is in braces, after the opening one.
fn braces(rest: &mut std::str::Chars) -> Result<Vec<Piece>, String> {
    if let Some(after) = rest.as_str().strip_prefix("repeat ") {
        let (count, after) = after.split_once(' ').ok_or("repeat what?")?;
        let count: usize = count.parse().map_err(|_| format!("repeat {count} times?"))?;
        *rest = after.chars();
        let once = merged(pieces(rest, Some('}'))?);
        if let [Piece::Bytes(bytes)] = &once[..] {
            return Ok(vec![Piece::Bytes(bytes.repeat(count))]);
        }
        return Ok(once.iter().cycle().take(count * once.len()).cloned().collect());
    }
    let (inside, after) = rest.as_str().split_once('}').ok_or("a brace is not closed")?;
    *rest = after.chars();
    Ok(vec![placeholder(inside)?])
}

fn placeholder(inside: &str) -> Result<Piece, String> {
    let unknown = || format!("{{{inside}}} means nothing");
    if let Some(shift) = inside.strip_prefix("now") {
        return if shift.is_empty() { Ok(0) } else { shift.parse() }.map(Piece::Now).map_err(|_| unknown());
    }
    match inside.split_once(' ') {
        None => match inside {
            "me" | "you" => Ok(Piece::Name(inside.to_owned())),
            "server" => Ok(Piece::Server),
            "skew" => Ok(Piece::Skew(None)),
            _ => Err(unknown()),
        },
        Some(("skew", name)) => Ok(Piece::Skew(Some(name.to_owned()))),
        Some(("places", bound)) => bound.parse().map(Piece::Places).map_err(|_| unknown()),
        Some(_) => Err(unknown()),
    }
}

/// Joins bytes that are next to each other.
fn merged(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut merged = Vec::new();
    for piece in pieces {
        match (merged.last_mut(), piece) {
            (Some(Piece::Bytes(before)), Piece::Bytes(more)) => before.extend(more),
            (_, piece) => merged.push(piece),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::{Case, Piece, Step, parse};

    fn pieces(text: &str) -> Vec<Piece> {
        match parse(&format!("-- a case for this\n> x\n< {text}")).unwrap().remove(0).steps.remove(1) {
            Step::Hear(pieces) => pieces,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_is_a_list_of_cases_with_steps() {
        let text = "# For people.\n\n-- the first one of two\n> FOO\\n\n< ? FOO\\n\n\n-- the second one of two\nsplit\n> BAR\nend\n";
        let say = |text: &str| Step::Say(vec![Piece::Bytes(text.into())]);
        let first = Case {
            name: "the first one of two".to_owned(),
            line: 3,
            steps: vec![say("FOO\n"), Step::Hear(vec![Piece::Bytes("? FOO\n".into())])],
            split: false,
        };
        let second = Case {
            name: "the second one of two".to_owned(),
            line: 7,
            steps: vec![say("BAR"), Step::End],
            split: true,
        };
        assert_eq!(parse(text), Ok(vec![first, second]));
    }

    #[test]
    fn every_byte_can_be_written() {
        let written: Vec<String> = (0..=255).map(|byte| format!("\\x{byte:02x}")).collect();
        assert_eq!(pieces(&written.concat()), [Piece::Bytes((0..=255).collect())]);
        assert_eq!(pieces(r"a\n\r\t\f\v\0\s\\\{\}é"), [Piece::Bytes("a\n\r\t\x0c\x0b\0 \\{}é".into())]);
    }

    #[test]
    fn placeholders_are_read() {
        let expected = [
            Piece::Name("me".to_owned()),
            Piece::Bytes(b" ".to_vec()),
            Piece::Now(0),
            Piece::Now(-5),
            Piece::Now(300),
            Piece::Server,
            Piece::Skew(None),
            Piece::Skew(Some("first".to_owned())),
            Piece::Places(20),
        ];
        assert_eq!(pieces("{me} {now}{now-5}{now+300}{server}{skew}{skew first}{places 20}"), expected);
    }

    #[test]
    fn a_repetition_may_hold_escapes_and_braces() {
        assert_eq!(pieces(r"{repeat 3 a\n}"), [Piece::Bytes(b"a\na\na\n".to_vec())]);
        assert_eq!(pieces(r"{repeat 2 {repeat 2 \{}b}"), [Piece::Bytes(b"{{b{{b".to_vec())]);
        assert_eq!(pieces(r"{repeat 2 {skew}}"), [Piece::Skew(None), Piece::Skew(None)]);
        assert_eq!(pieces(r"{repeat 0 a}b"), [Piece::Bytes(b"b".to_vec())]);
    }

    #[test]
    fn a_mistake_is_refused_with_its_line() {
        for (text, line) in [
            ("> before any case", 1),
            ("-- short name\n> x", 1),
            ("-- nothing is said here\nend", 1),
            ("-- one and the same\n> x\n-- one and the same\n> x", 3),
            ("-- a name that says\n> x\\q", 2),
            ("-- a name that says\n> \\x4", 2),
            ("-- a name that says\n> \\xzz", 2),
            ("-- a name that says\n> x\\", 2),
            ("-- a name that says\n> {me", 2),
            ("-- a name that says\n> me}", 2),
            ("-- a name that says\n> {repeat 2 x", 2),
            ("-- a name that says\n> {repeat x y}", 2),
            ("-- a name that says\n< {unknown}", 2),
            ("-- a name that says\n< {now+x}", 2),
            ("-- a name that says\n< {places many}", 2),
            ("-- a name that says\n> {skew}", 2),
            ("-- a name that says\n> x ", 2),
            ("-- a name that says\n>x", 2),
            ("-- a name that says\nEND", 2),
        ] {
            let problem = parse(text).expect_err(text);
            assert!(problem.starts_with(&format!("line {line}: ")), "{text:?}: {problem}");
        }
    }
}
