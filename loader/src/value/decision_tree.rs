//! A classification tree, grown to purity: what bagging needs of one, and no more.
//!
//! Exact greedy splits (CART, Breiman et al. 1984, with Gini impurity), on features that were ranked once for all trees
//! of an ensemble. Nothing is random here: equal rows and counts grow equal trees.

use super::points::Points;

/// The features of all rows as ranks among their feature's distinct values, feature after feature.
pub(super) struct Ranked {
    rows: usize,
    /// `ranks[feature * rows + row]`.
    ranks: Vec<u32>,
    /// Of each feature its distinct values in ascending order.
    values: Vec<Vec<f32>>,
}

impl Ranked {
    /// The features of `points`, which are `width` wide and finite.
    pub(super) fn new(points: Points<'_>, width: usize) -> Self {
        let rows = points.labels.len();
        let mut ranks = Vec::with_capacity(rows * width);
        let mut values = Vec::with_capacity(width);
        for feature in 0..width {
            let column = || points.features.iter().skip(feature).step_by(width).copied();
            let mut distinct: Vec<f32> = column().map(|value| value + 0.0).collect();
            distinct.sort_by(f32::total_cmp);
            distinct.dedup();
            // −0 + 0 is 0, so that the two zeros are one value.
            ranks.extend(column().map(|value| distinct.partition_point(|other| *other < value + 0.0) as u32));
            values.push(distinct);
        }
        Self { rows, ranks, values }
    }

    fn column(&self, feature: usize) -> &[u32] {
        &self.ranks[feature * self.rows..(feature + 1) * self.rows]
    }
}

/// A grown tree.
pub(super) struct Tree {
    nodes: Vec<Node>,
}

enum Node {
    Leaf {
        class: u32,
    },
    /// Rows whose rank is at most `rank` go to `left`, the next node; the others to `right`.
    Split {
        feature: u32,
        rank: u32,
        right: u32,
    },
}

/// The best split of a node that was found so far.
struct Best {
    /// Σ over both sides of Σ counts² / count: the larger, the purer.
    purity: f64,
    feature: usize,
    /// The highest rank of the left side among the node's rows, and the lowest of the right.
    between: (u32, u32),
}

impl Tree {
    /// Grows a tree on the rows that `counts` has at least once, each counted as often, with labels below `classes`.
    pub(super) fn grow(ranked: &Ranked, labels: &[u32], classes: usize, counts: &[u32]) -> Self {
        let rows: Vec<u32> = (0..ranked.rows as u32).filter(|&row| counts[row as usize] > 0).collect();
        let mut growing = Growing {
            ranked,
            labels,
            counts,
            nodes: Vec::new(),
            left: vec![0; classes],
            whole: vec![0; classes],
            members: Vec::new(),
            sorted: Vec::new(),
            starts: Vec::new(),
            histogram: Vec::new(),
        };
        growing.grow(rows);
        Self { nodes: growing.nodes }
    }

    /// The class of `row`.
    pub(super) fn predict(&self, ranked: &Ranked, row: usize) -> u32 {
        let mut at = 0;
        loop {
            match self.nodes[at] {
                Node::Leaf { class } => return class,
                Node::Split { feature, rank, right } => {
                    at = if ranked.column(feature as usize)[row] <= rank { at + 1 } else { right as usize };
                }
            }
        }
    }
}

/// A tree on its way, and what its nodes share so that none allocates its own.
struct Growing<'a> {
    ranked: &'a Ranked,
    labels: &'a [u32],
    counts: &'a [u32],
    nodes: Vec<Node>,
    left: Vec<u32>,
    /// The counts of the node's classes.
    whole: Vec<u32>,
    /// Class and count of each of the node's rows.
    members: Vec<(u32, u32)>,
    /// Ranks in the high half, places among the node's rows in the low one.
    sorted: Vec<u64>,
    /// Where the rows of each rank begin among them.
    starts: Vec<u32>,
    /// `histogram[rank * classes + class]`.
    histogram: Vec<u32>,
}

impl Growing<'_> {
    fn grow(&mut self, rows: Vec<u32>) {
        // Depth first, left before right; a stack of its own, since a chain of splits may be as deep as there are rows.
        let mut stack = vec![(rows, None)];
        while let Some((mut rows, parent)) = stack.pop() {
            let node = self.nodes.len() as u32;
            if let Some(parent) = parent
                && let Some(Node::Split { right, .. }) = self.nodes.get_mut(parent as usize)
            {
                *right = node;
            }
            self.count(&rows);
            let best = if self.whole.iter().filter(|count| **count > 0).count() > 1 { self.best(&rows) } else { None };
            let Some(Best { feature, between: (low, high), .. }) = best else {
                let class = (0..).zip(&self.whole).fold(
                    (0, 0),
                    |most, (class, count)| {
                        if *count > most.1 { (class, *count) } else { most }
                    },
                );
                self.nodes.push(Node::Leaf { class: class.0 });
                continue;
            };
            // The border lies in the middle between two values, so a value that the node does not have may fall on
            // either side.
            let values = &self.ranked.values[feature];
            let middle = f64::midpoint(f64::from(values[low as usize]), f64::from(values[high as usize]));
            let rank = (low..high).rev().find(|rank| f64::from(values[*rank as usize]) <= middle).unwrap_or(low);
            self.nodes.push(Node::Split { feature: feature as u32, rank, right: 0 });
            let column = self.ranked.column(feature);
            let right = rows.extract_if(.., |row| column[*row as usize] > rank).collect();
            stack.push((right, Some(node)));
            stack.push((rows, None));
        }
    }

    fn count(&mut self, rows: &[u32]) {
        self.whole.fill(0);
        self.members.clear();
        for &row in rows {
            let (class, count) = (self.labels[row as usize], self.counts[row as usize]);
            self.whole[class as usize] += count;
            self.members.push((class, count));
        }
    }

    /// The purest split; of equal ones that of the first feature, and of the lowest border. None where all rows are equal.
    fn best(&mut self, rows: &[u32]) -> Option<Best> {
        let mut best: Option<Best> = None;
        for feature in 0..self.ranked.values.len() {
            let column = self.ranked.column(feature);
            let first = rows.first().map(|&row| column[row as usize]);
            // Deep in a tree most features are the same in all rows of a node.
            if rows.iter().all(|&row| Some(column[row as usize]) == first) {
                continue;
            }
            // A histogram costs a pass over the rows and its length, sorting some passes over the rows.
            let length = self.ranked.values[feature].len() * self.whole.len();
            if length <= rows.len() {
                self.by_histogram(feature, rows, &mut best);
            } else {
                self.by_sorting(feature, rows, &mut best);
            }
        }
        best
    }

    fn by_histogram(&mut self, feature: usize, rows: &[u32], best: &mut Option<Best>) {
        let classes = self.whole.len();
        let column = self.ranked.column(feature);
        let mut histogram = std::mem::take(&mut self.histogram);
        histogram.clear();
        histogram.resize(self.ranked.values[feature].len() * classes, 0);
        for (&row, &(class, count)) in rows.iter().zip(&self.members) {
            histogram[column[row as usize] as usize * classes + class as usize] += count;
        }
        let mut sides = Sides::new(&self.whole, &mut self.left);
        let mut last = None;
        for (rank, counts) in (0..).zip(histogram.chunks_exact(classes)) {
            if counts.iter().fold(0, |any, count| any | count) == 0 {
                continue;
            }
            sides.offer(feature, last, rank, best);
            for (class, count) in (0..).zip(counts).filter(|(_, count)| **count > 0) {
                sides.shift(class, *count);
            }
            last = Some(rank);
        }
        self.histogram = histogram;
    }

    fn by_sorting(&mut self, feature: usize, rows: &[u32], best: &mut Option<Best>) {
        let column = self.ranked.column(feature);
        let mut sorted = std::mem::take(&mut self.sorted);
        sorted.clear();
        let packed = (0_u64..).zip(rows).map(|(place, &row)| u64::from(column[row as usize]) << 32 | place);
        let distinct = self.ranked.values[feature].len();
        if distinct <= 4 * rows.len() {
            // By counting: where the rows of each rank begin, then each row to its place.
            self.starts.clear();
            self.starts.resize(distinct + 1, 0);
            rows.iter().for_each(|&row| self.starts[column[row as usize] as usize + 1] += 1);
            (0..distinct).for_each(|rank| self.starts[rank + 1] += self.starts[rank]);
            sorted.resize(rows.len(), 0);
            for packed in packed {
                let start = &mut self.starts[(packed >> 32) as usize];
                sorted[*start as usize] = packed;
                *start += 1;
            }
        } else {
            sorted.extend(packed);
            sorted.sort_unstable();
        }
        let mut last = None;
        let mut sides = Sides::new(&self.whole, &mut self.left);
        for &packed in &sorted {
            let (rank, place) = ((packed >> 32) as u32, packed as u32 as usize);
            if last != Some(rank) {
                sides.offer(feature, last, rank, best);
            }
            let (class, count) = self.members[place];
            sides.shift(class, count);
            last = Some(rank);
        }
        self.sorted = sorted;
    }
}

/// The classes below a border that moves up, with what follows of both sides kept as counts change.
struct Sides<'a> {
    /// Counts of all rows of the node, and Σ of their squares.
    whole: &'a [u32],
    whole_squares: u64,
    count: u32,
    /// Counts of the rows below.
    left: &'a mut [u32],
    left_squares: u64,
    left_count: u32,
    /// Σ left · whole, since Σ (whole − left)² = Σ whole² − 2 Σ left · whole + Σ left².
    product: u64,
}

impl<'a> Sides<'a> {
    /// No row below the border.
    fn new(whole: &'a [u32], left: &'a mut [u32]) -> Self {
        left.fill(0);
        let square = |count: &u32| u64::from(*count) * u64::from(*count);
        let (whole_squares, count) = (whole.iter().map(square).sum(), whole.iter().sum());
        Self { whole, whole_squares, count, left, left_squares: 0, left_count: 0, product: 0 }
    }

    /// `count` rows of `class` come below the border.
    fn shift(&mut self, class: u32, count: u32) {
        let left = &mut self.left[class as usize];
        self.left_squares += u64::from(count) * (2 * u64::from(*left) + u64::from(count));
        self.product += u64::from(count) * u64::from(self.whole[class as usize]);
        *left += count;
        self.left_count += count;
    }

    /// Keeps the border between rank `last` and `next` if it is purer than the best one.
    fn offer(&self, feature: usize, last: Option<u32>, next: u32, best: &mut Option<Best>) {
        let Some(last) = last else { return };
        let right_squares = self.whole_squares + self.left_squares - 2 * self.product;
        let purity = self.left_squares as f64 / f64::from(self.left_count)
            + right_squares as f64 / f64::from(self.count - self.left_count);
        if best.as_ref().is_none_or(|best| purity > best.purity) {
            *best = Some(Best { purity, feature, between: (last, next) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(features: &[f32], labels: &[u32], counts: &[u32]) -> (Ranked, Tree) {
        let width = features.len() / labels.len();
        let ranked = Ranked::new(Points { features, labels }, width);
        let tree = Tree::grow(&ranked, labels, 4, counts);
        (ranked, tree)
    }

    proptest! {
        #[test]
        fn a_tree_knows_every_row_that_it_was_grown_on(
            rows in prop::collection::btree_map(prop::collection::vec(-4_i8..4, 3), 0_u32..4, 1..60)
        ) {
            // Distinct points, so that no leaf is mixed.
            let features: Vec<f32> = rows.keys().flatten().map(|value| f32::from(*value)).collect();
            let labels: Vec<u32> = rows.values().copied().collect();
            let (ranked, tree) = tree(&features, &labels, &vec![1; labels.len()]);
            for (row, label) in labels.iter().enumerate() {
                prop_assert_eq!(tree.predict(&ranked, row), *label);
            }
        }

        #[test]
        fn both_ways_to_look_for_a_split_find_the_same(
            rows in prop::collection::vec((prop::collection::vec(-9_i8..9, 2), 0_u32..3, 0_u32..3), 2..50)
        ) {
            let features: Vec<f32> = rows.iter().flat_map(|row| &row.0).map(|value| f32::from(*value)).collect();
            let labels: Vec<u32> = rows.iter().map(|row| row.1).collect();
            let counts: Vec<u32> = rows.iter().map(|row| row.2).collect();
            let ranked = Ranked::new(Points { features: &features, labels: &labels }, 2);
            let nodes: Vec<u32> = (0..labels.len() as u32).filter(|row| counts[*row as usize] > 0).collect();
            let mut growing = Growing {
                ranked: &ranked, labels: &labels, counts: &counts, nodes: Vec::new(), left: vec![0; 3],
                whole: vec![0; 3], members: Vec::new(), sorted: Vec::new(), starts: Vec::new(), histogram: Vec::new(),
            };
            growing.count(&nodes);
            for feature in 0..2 {
                let (mut one, mut other) = (None, None);
                growing.by_histogram(feature, &nodes, &mut one);
                growing.by_sorting(feature, &nodes, &mut other);
                let shown = |best: Option<Best>| best.map(|best| (best.purity.to_bits(), best.between));
                prop_assert_eq!(shown(one), shown(other));
            }
        }
    }

    #[test]
    fn a_border_lies_in_the_middle_and_rows_that_were_left_out_fall_to_their_side() {
        let features = [0.0, 1.0, 6.0, 10.0];
        let (ranked, tree) = tree(&features, &[0, 3, 3, 1], &[1, 0, 0, 5]);
        assert_eq!([0, 1, 2, 3].map(|row| tree.predict(&ranked, row)), [0, 0, 1, 1]);
    }

    #[test]
    fn equal_points_of_several_labels_make_a_leaf_of_the_most_frequent_one() {
        let (ranked, tree) = tree(&[5.0, 5.0, 5.0], &[2, 1, 1], &[1, 1, 1]);
        assert_eq!(tree.predict(&ranked, 0), 1);
        let (ranked, tree) = tree_of_zeros();
        assert_eq!(tree.predict(&ranked, 1), 0);
    }

    /// −0 and 0 are one value.
    fn tree_of_zeros() -> (Ranked, Tree) {
        tree(&[-0.0, 0.0, 0.0], &[0, 0, 1], &[1, 1, 1])
    }
}
