//! Tables of runs: columns as wide as their longest entry, and fields of CSV.

/// Lines of columns, with two spaces between them; the `numbers` end at one place. A row with fewer cells
/// says why it has no others, and does not make a column wider.
pub(crate) fn columns(rows: &[Vec<String>], numbers: &[usize]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let whole = || rows.iter().filter(|row| row.len() == count);
    let widest = |column: usize| whole().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(widest).collect();
    let line = |row: &Vec<String>| {
        let cell = |(column, text): (usize, &String)| {
            let space = widths[column];
            if numbers.contains(&column) { format!("{text:>space$}") } else { format!("{text:space$}") }
        };
        row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A field of CSV: quoted if it has a comma, a quote or a line's end.
pub(crate) fn csv(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) || field.starts_with(' ') || field.ends_with(' ') {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field.to_owned()
}

/// A line of CSV.
pub(crate) fn csv_line<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    fields.map(csv).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_entry() {
        let row = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>();
        let rows =
            [row(&["run", "score", "state"]), row(&["a-long-name", "0.9", "done"]), row(&["x", "damaged"])];
        let lines = ["run          score  state", "a-long-name    0.9  done", "x            damaged"];
        assert_eq!(columns(&rows, &[1]), lines);
    }

    #[test]
    fn a_field_of_csv_is_read_back_as_it_was() {
        for (field, written) in [
            ("ants/1.png", "ants/1.png"),
            ("a,b", "\"a,b\""),
            ("5\" nails", "\"5\"\" nails\""),
            (" x", "\" x\""),
        ] {
            assert_eq!(csv(field), written);
        }
        assert_eq!(csv_line(["a", "b,c"].into_iter()), "a,\"b,c\"");
    }
}
