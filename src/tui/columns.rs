//! The columns of the table: what there is, what fits, how wide.
//!
//! Pure arithmetic over widths. Does not know how a cell is filled.

use crate::model::units::{AMOUNT_WIDTH, RATE_WIDTH};

use super::state::Page;
use super::words;

/// One column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Process id.
    Pid,
    /// Process name.
    Process,
    /// User name.
    User,
    /// Protocol of the flow; the busiest one of a process, and how many more.
    Protocol,
    /// Number of flows of a process.
    Flows,
    /// Local end of the flow.
    Local,
    /// Remote end of the flow.
    Remote,
    /// Rate sent.
    Tx,
    /// Rate received.
    Rx,
    /// Smoothed rate of both directions.
    Smoothed,
    /// Bytes of both directions since netmon started.
    Total,
    /// Smoothed round-trip time of the flow's connection.
    Rtt,
    /// Segments that it sent again.
    Retransmits,
    /// Command line of the process.
    Command,
    /// Index of an interface.
    Interface,
}

impl Column {
    /// Its title, without the arrow of the directions.
    pub fn title(self) -> &'static str {
        match self {
            Column::Pid => "PID",
            Column::Process => "PROCESS",
            Column::User => "USER",
            Column::Protocol => "PROTO",
            Column::Flows => "FLOWS",
            Column::Local => "LOCAL",
            Column::Remote => "REMOTE",
            Column::Tx => "SENT",
            Column::Rx => "RECEIVED",
            Column::Smoothed => "SMOOTHED",
            Column::Total => "TOTAL",
            Column::Rtt => "RTT",
            Column::Retransmits => "RETR",
            Column::Command => "COMMAND",
            Column::Interface => "INTERFACE",
        }
    }

    /// Numbers stand to the right, texts to the left.
    pub fn is_number(self) -> bool {
        matches!(
            self,
            Column::Pid
                | Column::Flows
                | Column::Tx
                | Column::Rx
                | Column::Smoothed
                | Column::Total
                | Column::Rtt
                | Column::Retransmits
        )
    }

    /// Whether one wants to see the largest first: so for all quantities.
    pub fn starts_descending(self) -> bool {
        self.is_number() && self != Column::Pid
    }

    /// Least, comfortable and greatest width that make sense for it.
    fn widths(self, page: Page, ends: Ends) -> [u16; 3] {
        let long_ends = match ends {
            Ends::Short => 21,
            Ends::Long => 47,
        };
        match self {
            Column::Pid => [7; 3],
            Column::Process => [5, 10, 18],
            Column::User => [8, 8, 12],
            // A process names its busiest protocol and counts the others.
            Column::Protocol => match page {
                Page::Processes => [9; 3],
                Page::Flows | Page::Interfaces => [6; 3],
            },
            Column::Flows => [6; 3],
            Column::Local => [15, 18, long_ends],
            Column::Remote => [15, 21, long_ends],
            // Words, as there are no columns under them.
            Column::Smoothed if page == Page::Interfaces => [9; 3],
            Column::Total if page == Page::Interfaces => [9; 3],
            Column::Tx | Column::Rx | Column::Smoothed => [RATE_WIDTH as u16; 3],
            Column::Total => [AMOUNT_WIDTH as u16; 3],
            Column::Rtt => [words::TIME_WIDTH as u16; 3],
            Column::Retransmits => [6; 3],
            Column::Command => [16, 24, u16::MAX],
            Column::Interface => [10; 3],
        }
    }
}

/// The columns of a page from left to right.
pub fn of_page(page: Page) -> &'static [Column] {
    match page {
        Page::Processes => &[
            Column::Pid,
            Column::Process,
            Column::User,
            Column::Protocol,
            Column::Flows,
            Column::Tx,
            Column::Rx,
            Column::Smoothed,
            Column::Total,
            Column::Command,
        ],
        Page::Flows => &[
            Column::Pid,
            Column::Process,
            Column::User,
            Column::Protocol,
            Column::Local,
            Column::Remote,
            Column::Tx,
            Column::Rx,
            Column::Smoothed,
            Column::Total,
            Column::Rtt,
            Column::Retransmits,
            Column::Command,
        ],
        // Blocks have no columns: this is what they are sorted by.
        Page::Interfaces => &[Column::Interface, Column::Smoothed, Column::Total],
    }
}

/// Which columns go first when the terminal gets narrow, least useful first.
/// What a row is (its process; its remote end) and how busy stay to the last.
fn sacrifice(page: Page) -> &'static [Column] {
    match page {
        Page::Processes => &[
            Column::Command,
            Column::Flows,
            Column::Protocol,
            Column::User,
            Column::Total,
            Column::Pid,
            Column::Smoothed,
        ],
        Page::Flows => &[
            Column::Command,
            Column::User,
            Column::Retransmits,
            Column::Local,
            Column::Rtt,
            Column::Total,
            Column::Pid,
            Column::Protocol,
            Column::Tx,
            Column::Rx,
        ],
        Page::Interfaces => &[Column::Total, Column::Smoothed],
    }
}

/// What remains when not even that fits at the least widths.
fn remainder(page: Page) -> &'static [Column] {
    match page {
        Page::Processes => &[Column::Process, Column::Smoothed],
        Page::Flows => &[Column::Remote],
        Page::Interfaces => &[Column::Interface],
    }
}

/// How long the addresses are that there are to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ends {
    /// IPv4 at most.
    #[default]
    Short,
    /// IPv6 too.
    Long,
}

/// What the rows have to show, at most, since the start: columns that came and went
/// with each flow would be hard to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contents {
    /// How long addresses are.
    pub ends: Ends,
    /// Some flow tells how its connection fares.
    pub health: bool,
}

/// Columns before the first one: the marks of selection and state.
pub const GUTTER: u16 = 2;

/// A column and where it stands, relative to the table's left edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which column.
    pub column: Column,
    /// Its first terminal column.
    pub x: u16,
    /// Its width in terminal columns.
    pub width: u16,
}

/// The columns of `page` that fit a table `width` wide, and their places.
pub fn fit(page: Page, width: u16, contents: Contents) -> Vec<Place> {
    let ends = contents.ends;
    const LEAST: usize = 0;
    const COMFORTABLE: usize = 1;
    const GREATEST: usize = 2;
    let needed = |columns: &[Column], size: usize| -> u16 {
        let widths = columns.iter().map(|c| c.widths(page, ends)[size] + 1);
        GUTTER + widths.sum::<u16>() - 1
    };
    let mut columns: Vec<Column> = of_page(page).to_vec();
    if !contents.health {
        columns.retain(|column| !matches!(column, Column::Rtt | Column::Retransmits));
    }
    for victim in sacrifice(page) {
        if needed(&columns, COMFORTABLE) <= width {
            break;
        }
        columns.retain(|column| column != victim);
    }
    if needed(&columns, LEAST) > width {
        columns = remainder(page).to_vec();
    }
    if needed(&columns, LEAST) > width {
        columns.truncate(1);
    }

    let mut widths: Vec<u16> = columns
        .iter()
        .map(|c| c.widths(page, ends)[LEAST])
        .collect();
    let mut spare = width.saturating_sub(needed(&columns, LEAST));
    // First comfort for all, then more for those that can use it.
    let hungry = [
        Column::Process,
        Column::Remote,
        Column::Local,
        Column::User,
        Column::Command,
    ];
    for size in [COMFORTABLE, GREATEST] {
        for column in hungry {
            if let Some(at) = columns.iter().position(|c| *c == column) {
                let growth = spare.min(column.widths(page, ends)[size].saturating_sub(widths[at]));
                widths[at] += growth;
                spare -= growth;
            }
        }
    }
    // The rest goes to the text that names the row. A lone column takes what
    // there is, be it less than its least.
    if let [only] = widths.as_mut_slice() {
        *only = width.saturating_sub(GUTTER);
    } else if let Some(at) = columns
        .iter()
        .position(|c| matches!(c, Column::Process | Column::Remote))
    {
        widths[at] += spare;
    }

    let mut x = GUTTER;
    columns
        .into_iter()
        .zip(widths)
        .map(|(column, width)| {
            let place = Place { column, x, width };
            x += width + 1;
            place
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Contents = Contents {
        ends: Ends::Long,
        health: true,
    };

    fn names(page: Page, width: u16) -> Vec<&'static str> {
        fit(page, width, ALL)
            .iter()
            .map(|p| p.column.title())
            .collect()
    }

    #[test]
    fn a_wide_terminal_shows_all_and_is_filled() {
        for page in [Page::Processes, Page::Flows] {
            let places = fit(page, 250, ALL);
            assert_eq!(places.len(), of_page(page).len());
            let last = places[places.len() - 1];
            assert_eq!(last.x + last.width, 250);
        }
    }

    #[test]
    fn eighty_columns_keep_what_matters() {
        assert_eq!(
            names(Page::Processes, 80),
            [
                "PID", "PROCESS", "USER", "SENT", "RECEIVED", "SMOOTHED", "TOTAL"
            ]
        );
        assert_eq!(
            names(Page::Flows, 80),
            ["PROCESS", "PROTO", "REMOTE", "SENT", "RECEIVED", "SMOOTHED"]
        );
    }

    #[test]
    fn the_health_of_connections_needs_a_wide_terminal_and_somebody_who_tells_it() {
        let wide = names(Page::Flows, 160);
        assert!(wide.ends_with(&["TOTAL", "RTT", "RETR"]), "{wide:?}");
        assert!(names(Page::Flows, 200).ends_with(&["RTT", "RETR", "COMMAND"]));
        // The time outlives the user and the local end, and the count the user.
        let narrow = names(Page::Flows, 110);
        assert!(narrow.ends_with(&["TOTAL", "RTT"]), "{narrow:?}");
        assert!(names(Page::Flows, 134).ends_with(&["RTT", "RETR"]));
        let untold = Contents {
            health: false,
            ..ALL
        };
        let columns = fit(Page::Flows, 250, untold);
        assert!(columns.iter().all(|place| place.column != Column::Rtt));
    }

    #[test]
    fn forty_columns_keep_the_row_and_its_rates() {
        assert_eq!(names(Page::Processes, 40), ["PROCESS", "SENT", "RECEIVED"]);
        assert_eq!(names(Page::Flows, 40), ["PROCESS", "REMOTE", "SMOOTHED"]);
    }

    #[test]
    fn twenty_columns_keep_one_number() {
        assert_eq!(names(Page::Processes, 20), ["PROCESS", "SMOOTHED"]);
        assert_eq!(names(Page::Flows, 20), ["REMOTE"]);
        assert_eq!(names(Page::Processes, 10), ["PROCESS"]);
    }

    #[test]
    fn no_width_panics_or_overflows() {
        for page in Page::ALL {
            for width in 0..300 {
                let places = fit(page, width, Contents::default());
                let last = places[places.len() - 1];
                assert!(last.x + last.width <= width.max(GUTTER), "{page:?} {width}");
            }
        }
    }
}
