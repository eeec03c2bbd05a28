//! Scores of answers against labels: the protocols of two public benchmarks, each held to check values.
//!
//! SKAB (Katser & Kozitsin, Skoltech Anomaly Benchmark, 2020): outliers by rows, change points by windows of 60 s.
//! NAB (Lavin & Ahmad, ICMLA 2015, arXiv:1510.03336): windows of unequal length, early answers earn more.

use std::f64::consts::FRAC_PI_2;

/// Costs and gains of an application: a hit, a false alarm, a miss.
#[derive(Clone, Copy)]
pub struct Profile {
    pub hit: f64,
    pub false_alarm: f64,
    pub miss: f64,
}

/// `standard` of both benchmarks.
pub const STANDARD: Profile = Profile { hit: 1.0, false_alarm: 0.11, miss: 1.0 };
/// False alarms cost twice as much.
pub const LOW_FALSE: Profile = Profile { false_alarm: 0.22, ..STANDARD };
/// Misses cost twice as much.
pub const LOW_MISSED: Profile = Profile { miss: 2.0, ..STANDARD };

/// Rows of a file that are scored, with what is known of them.
pub struct Labelled {
    /// Seconds, not falling.
    pub time: Vec<i64>,
    pub is_anomalous: Vec<bool>,
    pub is_change: Vec<bool>,
}

/// Rows by answer and label, over all files.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Outliers {
    pub true_alarms: u64,
    pub false_alarms: u64,
    pub missed: u64,
    pub true_quiet: u64,
}

impl Outliers {
    pub fn add(&mut self, alarms: &[bool], file: &Labelled) {
        for (alarm, is_anomalous) in alarms.iter().zip(&file.is_anomalous) {
            *match (alarm, is_anomalous) {
                (true, true) => &mut self.true_alarms,
                (true, false) => &mut self.false_alarms,
                (false, true) => &mut self.missed,
                (false, false) => &mut self.true_quiet,
            } += 1;
        }
    }

    pub fn f1(&self) -> f64 {
        let wrong = (self.false_alarms + self.missed) as f64 / 2.0;
        if self.true_alarms == 0 { 0.0 } else { self.true_alarms as f64 / (self.true_alarms as f64 + wrong) }
    }

    /// False alarms among the rows that are none, in percent.
    pub fn false_alarm_rate(&self) -> f64 {
        100.0 * self.false_alarms as f64 / (self.false_alarms + self.true_quiet) as f64
    }
}

/// Changes by answer, over all files.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Changes {
    pub windows: u64,
    pub missed: u64,
    pub false_changes: u64,
    /// For each hit where in its window it is, from 0 to 999.
    positions: Vec<u32>,
}

impl Changes {
    /// From a binary answer, whose changes are what is scored.
    pub fn add(&mut self, alarms: &[bool], file: &Labelled) {
        let mut before = false;
        let changes: Vec<bool> =
            alarms.iter().map(|alarm| std::mem::replace(&mut before, *alarm) != *alarm).collect();
        self.add_changes(&changes, file);
    }

    pub fn add_changes(&mut self, changes: &[bool], file: &Labelled) {
        let starts = file.time.iter().zip(&file.is_change).filter(|(_, is_change)| **is_change);
        let mut windows: Vec<(i64, i64)> = starts.map(|(time, _)| (*time, *time + 60)).collect();
        for next in 1..windows.len() {
            if windows[next - 1].1 >= windows[next].0 {
                windows[next].0 = windows[next - 1].1;
            }
        }
        let changed: Vec<i64> =
            file.time.iter().zip(changes).filter(|(_, change)| **change).map(|(time, _)| *time).collect();
        let is_in = |time: i64, window: &(i64, i64)| window.0 <= time && time <= window.1;
        for window in &windows {
            self.windows += 1;
            match changed.iter().find(|time| is_in(**time, window)) {
                Some(time) if window.1 > window.0 => {
                    let position = 1000 * (time - window.0) / (window.1 - window.0);
                    self.positions.push(position.min(999) as u32);
                }
                Some(_) => self.positions.push(0),
                None => self.missed += 1,
            }
        }
        let is_false = |time: &&i64| !windows.iter().any(|window| is_in(**time, window));
        self.false_changes += changed.iter().filter(is_false).count() as u64;
    }

    /// From 0 for no answer to 100 for a perfect one.
    pub fn score(&self, profile: Profile) -> f64 {
        let Profile { hit, false_alarm, miss } = profile;
        let half = (hit + false_alarm) / 2.0;
        let of_hit = |position: &u32| {
            let x = -FRAC_PI_2 + std::f64::consts::PI * f64::from(*position) / 999.0;
            half * -libm::tanh(x) / libm::tanh(FRAC_PI_2) + half - false_alarm
        };
        let sum: f64 = self.positions.iter().map(of_hit).sum::<f64>()
            - false_alarm * self.false_changes as f64
            - miss * self.missed as f64;
        let windows = self.windows as f64;
        100.0 * (sum + windows * miss) / (windows * hit + windows * miss)
    }
}

/// Sums of NAB's scores over files.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Detections {
    pub windows: u64,
    pub raw: f64,
}

impl Detections {
    /// Adds a file of `rows` rows with windows of rows, both ends included, and the rows that were detected.
    pub fn add(&mut self, rows: usize, windows: &[(usize, usize)], detected: &[usize], profile: Profile) {
        let probation = (rows * 15 / 100).min(750);
        let scaled = |y: f64| 2.0 / (1.0 + libm::exp(5.0 * y)) - 1.0;
        let mut best: Vec<Option<f64>> = vec![None; windows.len()];
        for row in detected.iter().copied().filter(|row| *row >= probation) {
            let inside = windows.iter().position(|(first, last)| *first <= row && row <= *last);
            if let Some(index) = inside {
                let (first, last) = windows[index];
                let y = -((last - row + 1) as f64) / (last - first + 1) as f64;
                let weight = profile.hit * scaled(y) / scaled(-1.0);
                best[index] = Some(best[index].map_or(weight, |best| best.max(weight)));
                continue;
            }
            self.raw += match windows.iter().rfind(|(_, last)| *last < row) {
                None => -profile.false_alarm,
                Some((first, last)) => {
                    let y = (row - last) as f64 / (last - first) as f64;
                    if y > 3.0 { -profile.false_alarm } else { profile.false_alarm * scaled(y) }
                }
            };
        }
        self.windows += windows.len() as u64;
        self.raw += best.iter().map(|best| best.unwrap_or(-profile.miss)).sum::<f64>();
    }

    /// From 0 for no answer to 100 for a perfect one.
    pub fn score(&self, profile: Profile) -> f64 {
        let windows = self.windows as f64;
        100.0 * (self.raw + profile.miss * windows) / (profile.hit * windows + profile.miss * windows)
    }
}
