//! A hash table of a fixed size whose rows lie one after the other.
//!
//! Owns the probing. Nothing is ever removed but all at once, so there is no
//! tombstone and no growth; who finds no room is told so. A map of the standard
//! library would keep the key twice to have rows in a list, and the list is what
//! makes emptying, merging and ranking cost what is in it and not what it holds room for.

use std::collections::TryReserveError;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;

/// Rows of at most a number that is given once; see the module's text.
#[derive(Debug, Clone)]
pub struct Table<K, V> {
    rows: Vec<(K, V)>,
    /// Number of a row plus one, by the key's hash; 0 for none. At least twice as
    /// many as rows, a power of two.
    index: Vec<u32>,
    limit: usize,
    state: RandomState,
}

impl<K: Copy + Eq + Hash, V: Default> Table<K, V> {
    /// A table for `limit` rows. The memory is taken at once; the kernel gives it
    /// page by page as it is written to.
    ///
    /// # Errors
    /// If there is not so much.
    pub fn new(limit: u32) -> Result<Table<K, V>, TryReserveError> {
        let limit = limit as usize;
        let mut rows = Vec::new();
        rows.try_reserve_exact(limit)?;
        let slots = (limit * 2).next_power_of_two();
        // Only asked for: writing the zeros would have the kernel give every page now.
        Vec::<u32>::new().try_reserve_exact(slots)?;
        Ok(Table {
            rows,
            index: vec![0; slots],
            limit,
            state: RandomState::default(),
        })
    }

    /// Bytes that a table for `limit` rows takes when it is full.
    pub fn bytes(limit: u32) -> usize {
        let limit = limit as usize;
        limit * size_of::<(K, V)>() + (limit * 2).next_power_of_two() * size_of::<u32>()
    }

    /// Rows that are there.
    #[inline]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Rows that there is room for.
    #[inline]
    pub fn room(&self) -> usize {
        self.limit - self.rows.len()
    }

    /// The number of the key's row, which is made if there is none; `None` if there
    /// is no room for it. Numbers stay until [`clear`](Table::clear).
    #[inline]
    pub fn find(&mut self, key: K) -> Option<u32> {
        let mask = self.index.len() - 1;
        let mut at = self.state.hash_one(key) as usize & mask;
        loop {
            // At most half of the slots are taken, so an empty one comes.
            let slot = self.index[at];
            let Some(number) = slot.checked_sub(1) else {
                break;
            };
            if self.rows[number as usize].0 == key {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
        if self.room() == 0 {
            return None;
        }
        // The limit is a u32, and this is below it.
        let number = self.rows.len() as u32;
        self.rows.push((key, V::default()));
        self.index[at] = number + 1;
        Some(number)
    }

    /// The value of a row that [`find`](Table::find) gave the number of.
    #[inline]
    pub fn value(&mut self, number: u32) -> &mut V {
        &mut self.rows[number as usize].1
    }

    /// The row of a number.
    pub fn row(&self, number: u32) -> &(K, V) {
        &self.rows[number as usize]
    }

    /// All rows, in the order in which they came.
    pub fn rows(&self) -> &[(K, V)] {
        &self.rows
    }

    /// Forgets all rows, and keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.index.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_with_a_limit(
            limit in 1..60_u32,
            keys in proptest::collection::vec(0..80_u64, 0..300),
            clear_at in 0..300_usize,
        ) {
            let mut table = Table::<u64, u64>::new(limit).unwrap();
            let mut map = HashMap::new();
            for (step, key) in keys.into_iter().enumerate() {
                if step == clear_at {
                    table.clear();
                    map.clear();
                    prop_assert_eq!(table.len(), 0);
                }
                let fits = map.contains_key(&key) || map.len() < limit as usize;
                let found = table.find(key);
                prop_assert_eq!(found.is_some(), fits);
                if let Some(number) = found {
                    *table.value(number) += 1;
                    *map.entry(key).or_insert(0) += 1;
                    prop_assert_eq!(table.row(number).0, key);
                }
                prop_assert_eq!(table.room(), limit as usize - map.len());
            }
            let rows: HashMap<u64, u64> = table.rows().iter().copied().collect();
            prop_assert_eq!(rows.len(), table.len());
            prop_assert_eq!(rows, map);
        }
    }

    #[test]
    fn it_never_takes_more_memory_than_it_said() {
        let mut table = Table::<u64, u64>::new(1000).unwrap();
        let (rows, index) = (table.rows.as_ptr(), table.index.as_ptr());
        let found = (0..5000).filter(|key| table.find(*key).is_some()).count();
        assert_eq!(found, 1000);
        assert_eq!((table.rows.as_ptr(), table.index.as_ptr()), (rows, index));
        assert_eq!(Table::<u64, u64>::bytes(1000), 1000 * 16 + 2048 * 4);
    }
}
