//! `herd places import`: makes an index of places out of files that people have.

mod output;

use crate::arguments::text;
use crate::failure::{Failure, reason};
use crate::terminal;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use herd_core::places::Gazetteer;
use herd_core::places::file::encode;
use herd_core::places::import::{Format, Importer, ROW_MAX, Summary, Wishes};
use output::Output;
use structopt::StructOpt;

/// What `herd places import` is asked.
#[derive(Debug, StructOpt)]
pub struct Import {
    /// Files of GeoNames (.txt), CSV (.csv, .tsv), GeoJSON (.geojson, .json) or GeoJSON lines (.geojsonl, .geojsonseq)
    #[structopt(value_name = "FILE", required = true, parse(from_os_str))]
    pub files: Vec<PathBuf>,
    /// Where the index is written
    #[structopt(short, long, value_name = "INDEX", parse(from_os_str))]
    pub output: PathBuf,
    /// The format of all files, whatever their names: geonames, csv, geojson or geojsonl
    #[structopt(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// The GeoNames classes and codes that are wanted, such as P,HTL,SCH [default: all]
    #[structopt(long, value_name = "CODES", use_delimiter = true, number_of_values = 1, parse(try_from_os_str = text))]
    pub features: Vec<String>,
    /// GeoNames' admin1CodesASCII.txt, for the names of regions
    #[structopt(long, value_name = "FILE", parse(from_os_str))]
    pub regions: Option<PathBuf>,
    /// What a place is where its row does not say, such as locality,political
    #[structopt(long, value_name = "TYPES", use_delimiter = true, number_of_values = 1, parse(try_from_os_str = text))]
    pub types: Vec<String>,
    /// A line that must be shown with the places; those of GeoNames and OpenStreetMap are added by themselves
    #[structopt(long, value_name = "HTML", number_of_values = 1, parse(try_from_os_str = text))]
    pub attribution: Vec<String>,
}

impl Import {
    /// All files that are read.
    fn inputs(&self) -> Vec<&Path> {
        self.files.iter().chain(&self.regions).map(PathBuf::as_path).collect()
    }
}

/// How much of a line is looked at, in bytes: enough to see that it is too long. The rest is skipped.
const LINE_MAX: u64 = ROW_MAX as u64 + 1;

/// What stands before each text of a sequence of RFC 8142, where line ends part nothing.
const SEPARATOR: u8 = 0x1e;

/// Reads all files and writes the index.
pub fn run(import: Import) -> Result<(), Failure> {
    let files =
        import.files.iter().map(|file| Source::of(file, import.format)).collect::<Result<Vec<_>, _>>()?;
    // A large file takes minutes: that its index cannot be written is better said now.
    let output = Output::of(&import.output, &import.inputs())?;
    let mut importer = Importer::new(Wishes { features: import.features, types: import.types });
    import.attribution.iter().for_each(|attribution| importer.attribute(attribution));
    if let Some(regions) = &import.regions {
        let text = fs::read(regions).map_err(|error| cannot("read", regions, &error))?;
        importer.name_regions(&String::from_utf8_lossy(&text));
    }
    let mut progress = Progress::new(files.iter().map(|file| file.length).sum());
    for file in &files {
        file.read(&mut importer, &mut progress)?;
    }
    progress.end();
    let (list, summary) = importer.finish();
    terminal::show(&said(&summary, &list))?;
    let length = write(&output, &list)?.div_ceil(1000);
    terminal::show(&format!("{} written, {length} kB; use it with --places-file\n", import.output.display()))
}

/// A file to read.
struct Source {
    path: PathBuf,
    format: Format,
    length: u64,
}

impl Source {
    fn of(path: &Path, format: Option<Format>) -> Result<Source, Failure> {
        let guessed = || Format::of(&path.to_string_lossy());
        let format = format.or_else(guessed).ok_or_else(|| {
            Failure::Usage(format!(
                "{}: the name does not tell the format; say it with --format",
                path.display()
            ))
        })?;
        let length = fs::metadata(path).map_err(|error| cannot("read", path, &error))?.len();
        Ok(Source { path: path.to_owned(), format, length })
    }

    fn read(&self, importer: &mut Importer, progress: &mut Progress) -> Result<(), Failure> {
        importer.begin(&self.path.to_string_lossy());
        let read = match self.format {
            Format::GeoJson => self.read_document(importer, progress),
            _ => self.read_lines(importer, progress),
        };
        read.map_err(|error| cannot("read", &self.path, &error))
    }

    fn read_document(&self, importer: &mut Importer, progress: &mut Progress) -> io::Result<()> {
        let mut rest = self.length;
        importer.document(&fs::read(&self.path)?, |length, summary| {
            let length = (length as u64).min(rest);
            rest -= length;
            progress.add(length, summary);
        });
        // What stands between the features.
        progress.add(rest, importer.summary());
        Ok(())
    }

    fn read_lines(&self, importer: &mut Importer, progress: &mut Progress) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(1 << 16, File::open(&self.path)?);
        let is_sequence =
            self.format == Format::GeoJsonLines && reader.fill_buf()?.first() == Some(&SEPARATOR);
        if is_sequence {
            reader.consume(1);
        }
        let end = if is_sequence { SEPARATOR } else { b'\n' };
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut length = reader.by_ref().take(LINE_MAX).read_until(end, &mut line)?;
            if length == 0 {
                importer.end();
                return Ok(());
            }
            if line.last() != Some(&end) {
                length += reader.skip_until(end)?;
            }
            if is_sequence {
                importer.record(&line);
            } else {
                importer.line(self.format, &line);
            }
            progress.add(length as u64, importer.summary());
        }
    }
}

/// Writes the index, unless nothing is in it, and tells its length in bytes.
fn write(output: &Output, list: &Gazetteer) -> Result<usize, Failure> {
    if list.is_empty() {
        let said = "no place was found, so no index is written; look at the files and their --format";
        return Err(Failure::Undone(said.to_owned()));
    }
    let bytes = encode(list);
    output.write(&bytes)?;
    Ok(bytes.len())
}

fn said(summary: &Summary, list: &Gazetteer) -> String {
    let Summary { kept, left_out, bad, named } = summary;
    let mut lines = vec![format!(
        "places: {kept}, rows left out (no name, or a feature not wanted): {left_out}, bad rows: {bad}"
    )];
    lines.extend(named.iter().map(|row| format!("  {row}")));
    if *bad > named.len() {
        lines.push(format!("  and {} more", bad - named.len()));
    }
    lines.extend(list.attributions().iter().map(|line| format!("shown with the places: {line}")));
    lines.push(String::new());
    lines.join("\n")
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::Undone(format!("cannot {what} {}: {}", path.display(), reason(error)))
}

/// A bar on standard error, where that is a terminal.
struct Progress {
    total: u64,
    done: u64,
    drawn: Option<u64>,
    is_shown: bool,
}

const BAR: usize = 40;

impl Progress {
    fn new(total: u64) -> Progress {
        Progress { total: total.max(1), done: 0, drawn: None, is_shown: io::stderr().is_terminal() }
    }

    fn add(&mut self, bytes: u64, summary: &Summary) {
        self.done += bytes;
        let percent = (self.done * 100 / self.total).min(100);
        if self.is_shown && self.drawn != Some(percent) {
            self.drawn = Some(percent);
            terminal::warn(&bar(percent, summary));
        }
    }

    fn end(&self) {
        if self.drawn.is_some() {
            terminal::warn("\n");
        }
    }
}

fn bar(percent: u64, summary: &Summary) -> String {
    let full = usize::try_from(percent).unwrap_or(100) * BAR / 100;
    let (full, empty) = ("#".repeat(full), " ".repeat(BAR - full));
    format!("\r[{full}{empty}] {percent:3} %  {} places", summary.kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use herd_core::places::file::decode;

    /// A directory of its own for each test, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let dir = std::env::temp_dir().join(format!("herd-import-{}-{name}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Scratch(dir)
        }

        fn file(&self, name: &str, text: &[u8]) -> String {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path.to_string_lossy().into_owned()
        }

        fn import(&self, arguments: &[&str]) -> Result<Gazetteer, String> {
            let index = self.0.join("index");
            let index_name = index.to_string_lossy().into_owned();
            let line = ["import", "-o", &index_name].into_iter().chain(arguments.iter().copied());
            run(Import::from_iter_safe(line).map_err(|error| error.message)?)
                .map_err(|error| error.to_string())?;
            Ok(decode(&fs::read(index).unwrap()).unwrap())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // What is left behind lies in the directory for such things.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_of_several_formats_become_one_index() {
        let scratch = Scratch::new("several");
        let csv = scratch.file("a.csv", b"name,lat,lon\nA,1,2\nbad,x,y\n");
        let geojson = scratch.file(
            "b.geojson",
            br#"{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"name":"B"}}]}"#,
        );
        let list = scratch
            .import(&["--types", "locality,political", &csv, &geojson, "--attribution", "me"])
            .unwrap();
        assert_eq!((list.len(), list.attributions()), (2, &["me".to_owned()][..]));
    }

    #[test]
    fn a_line_without_end_is_one_bad_row_and_the_next_has_its_own_number() {
        let scratch = Scratch::new("long");
        let long = vec![b'x'; 3 * ROW_MAX];
        let file = scratch.file("a.txt", &[&long[..], b"\nshort\n"].concat());
        let mut importer = Importer::new(Wishes::default());
        let source = Source::of(Path::new(&file), None).unwrap();
        source.read(&mut importer, &mut Progress::new(source.length)).unwrap();
        let Summary { bad, named, .. } = importer.finish().1;
        assert_eq!(bad, 2);
        assert!(
            named[0].ends_with("line 1: the row is too long") && named[1].contains("line 2: "),
            "{named:?}"
        );
    }

    #[test]
    fn a_sequence_is_read_text_by_text_and_not_line_by_line() {
        let scratch = Scratch::new("sequence");
        let text = "\u{1e}{\"type\":\"Feature\",\n\"geometry\":{\"type\":\"Point\",\"coordinates\":[1,2]},\n\"properties\":{\"name\":\"A\"}}\n";
        let file = scratch.file("a.geojsonseq", text.repeat(3).as_bytes());
        assert_eq!(scratch.import(&[&file]).unwrap().len(), 3);
    }

    #[test]
    fn a_file_that_is_not_there_or_tells_no_format_is_named() {
        let scratch = Scratch::new("missing");
        let said = scratch.import(&["/nowhere/x.csv"]).unwrap_err();
        assert_eq!(said, "cannot read /nowhere/x.csv: no such file or directory");
        let odd = scratch.file("x.zip", b"");
        assert!(scratch.import(&[&odd]).unwrap_err().contains("--format"));
    }

    #[test]
    fn an_import_that_finds_nothing_leaves_the_old_index_alone() {
        let scratch = Scratch::new("nothing");
        let good = scratch.file("a.csv", b"name,lat,lon\nA,1,2\n");
        scratch.import(&[&good]).unwrap();
        let bad = scratch.file("b.csv", b"\x00\xff\n");
        assert!(scratch.import(&[&bad]).unwrap_err().contains("no place was found"));
        assert_eq!(decode(&fs::read(scratch.0.join("index")).unwrap()).unwrap().len(), 1);
    }

    #[test]
    fn the_bar_fills_up() {
        assert!(bar(0, &Summary::default()).contains("[                                        ]   0 %"));
        assert!(bar(100, &Summary::default()).contains("########] 100 %  0 places"));
    }
}
