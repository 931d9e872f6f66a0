//! Graphs made of characters: from a minute of rates to glyphs.
//!
//! Pure functions from numbers to levels and symbols. Writes to no screen.

/// Dots of a braille character by column and height above its floor.
const DOTS: [[u32; 4]; 2] = [[0x40, 0x04, 0x02, 0x01], [0x80, 0x20, 0x10, 0x08]];

/// Dot rows of one braille character.
const DOTS_HIGH: usize = 4;

/// The largest value; 0 for none.
pub fn peak(series: &[f32]) -> f32 {
    series.iter().copied().fold(0.0, f32::max)
}

/// `series` drawn in `columns` columns: where several values share a column
/// the largest stands, so that no peak is lost.
pub fn resample(series: &[f32], columns: usize) -> impl Iterator<Item = f32> + '_ {
    (0..columns).map(move |column| {
        let start = column * series.len() / columns;
        let end = ((column + 1) * series.len() / columns).max(start + 1);
        peak(series.get(start..end).unwrap_or_default())
    })
}

/// How many of `steps` a value reaches, with `peak` reaching all. Whatever is
/// not nothing reaches one.
pub fn level(value: f32, peak: f32, steps: usize) -> usize {
    if value <= 0.0 || peak <= 0.0 {
        return 0;
    }
    let share = (value / peak).min(1.0) * steps as f32;
    (share.round() as usize).clamp(1, steps)
}

/// The symbol of a one-line graph out of `levels`, the first of which is empty.
pub fn spark<'a>(value: f32, peak: f32, levels: &[&'a str]) -> &'a str {
    levels
        .get(level(value, peak, levels.len().saturating_sub(1)))
        .copied()
        .unwrap_or(" ")
}

/// A filled braille graph, `width` by `height` characters: calls `put` with
/// column, row from the top, and character for each that is not empty.
pub fn braille(
    series: &[f32],
    peak: f32,
    width: u16,
    height: u16,
    mut put: impl FnMut(u16, u16, char),
) {
    let steps = usize::from(height) * DOTS_HIGH;
    let levels: Vec<usize> = resample(series, usize::from(width) * 2)
        .map(|value| level(value, peak, steps))
        .collect();
    for (x, pair) in (0u16..).zip(levels.chunks_exact(2)) {
        for y in 0..height {
            let floor = usize::from(height - 1 - y) * DOTS_HIGH;
            let mut dots = 0;
            for (column, reached) in DOTS.iter().zip(pair) {
                for (above, dot) in column.iter().enumerate() {
                    if *reached > floor + above {
                        dots |= dot;
                    }
                }
            }
            if let Some(symbol) = char::from_u32(0x2800 + dots).filter(|_| dots != 0) {
                put(x, y, symbol);
            }
        }
    }
}

/// The same with one of `.`, `:` and `#` per character.
pub fn ascii(
    series: &[f32],
    peak: f32,
    width: u16,
    height: u16,
    mut put: impl FnMut(u16, u16, char),
) {
    const FILL: [char; 3] = ['.', ':', '#'];
    let steps = usize::from(height) * FILL.len();
    for (x, value) in (0u16..).zip(resample(series, usize::from(width))) {
        let reached = level(value, peak, steps);
        for y in 0..height {
            let floor = usize::from(height - 1 - y) * FILL.len();
            if let Some(fill) = reached.checked_sub(floor + 1) {
                put(x, y, FILL[fill.min(FILL.len() - 1)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_survive_any_width() {
        let mut series = [1.0; 60];
        series[17] = 9.0;
        for columns in 1..200 {
            assert_eq!(resample(&series, columns).fold(0.0, f32::max), 9.0);
            assert_eq!(resample(&series, columns).count(), columns);
        }
    }

    #[test]
    fn little_is_not_nothing() {
        assert_eq!(level(0.001, 1000.0, 8), 1);
        assert_eq!(level(0.0, 1000.0, 8), 0);
        assert_eq!(level(1000.0, 1000.0, 8), 8);
        assert_eq!(level(1.0, 0.0, 8), 0);
    }

    #[test]
    fn braille_fills_from_the_floor() {
        let mut drawn = Vec::new();
        braille(&[1.0, 0.5], 1.0, 1, 2, |x, y, c| drawn.push((x, y, c)));
        assert_eq!(drawn, [(0, 0, '⡇'), (0, 1, '⣿')]);
    }

    #[test]
    fn ascii_fills_from_the_floor() {
        let mut drawn = Vec::new();
        ascii(&[1.0, 0.5], 1.0, 2, 2, |x, y, c| drawn.push((x, y, c)));
        assert_eq!(drawn, [(0, 0, '#'), (0, 1, '#'), (1, 1, '#')]);
    }
}
