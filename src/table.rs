//! A table for people: a header, rows, columns as wide as their widest cell.

/// Rows of cells under a header. Cells may be fewer than headings.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Starts a table with its headings.
    pub fn new(headings: &[&str]) -> Table {
        Table { rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Prints the table, two spaces between columns and none at the end of a line.
    pub fn print(&self) -> String {
        let widths = self.widths();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        self.rows.iter().map(line).collect()
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        (0..columns).map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|&cell| cell.to_owned()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["SERVER", "UP"]);
        table.row(row(&["A", "yes"]));
        table.row(row(&["Campbell", "no"]));
        assert_eq!(table.print(), "SERVER    UP\nA         yes\nCampbell  no\n");
    }

    #[test]
    fn width_is_counted_in_characters() {
        let mut table = Table::new(&["A", "B"]);
        table.row(row(&["Élan", "1"]));
        table.row(row(&["abcd", "2"]));
        assert_eq!(table.print(), "A     B\nÉlan  1\nabcd  2\n");
    }

    #[test]
    fn a_short_row_ends_early_and_no_line_ends_in_space() {
        let mut table = Table::new(&["SERVER", "UP"]);
        table.row(row(&["A"]));
        table.row(row(&["B", ""]));
        assert_eq!(table.print(), "SERVER  UP\nA\nB\n");
    }
}
