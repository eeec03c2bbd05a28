//! The dies and cold plates of a rack's trays: heat from load to coolant, and throttling when a die gets too hot.

// A tray is an index into all of these arrays; iterators over one of them would hide the others.
#![allow(clippy::needless_range_loop)]

use crate::hydraulics::tray_conductance;
use crate::noise::{Noise, Wander};
use crate::rack::Build;
use crate::reference::{
    COOLANT_RATE, DIE_CAPACITY, DIE_PLATE_RESISTANCE, FILM_EXPONENT, GPU_EQUIVALENTS, LEAKAGE_PER_KELVIN,
    LEAKAGE_REFERENCE_CELSIUS, LIQUID_SHARE, LIQUID_SHARE_MAX, PLATE_CAPACITY, PLATE_COOLANT_RESISTANCE,
    RACK_KILOPASCAL, RACK_KILOWATTS, SLOWDOWN_CELSIUS, SLOWDOWN_DELAY_SECONDS, SPEEDUP_CELSIUS,
    THROTTLED_SHARE, TRAYS,
};

/// All trays of a rack; each quantity is an array, a tray an index.
#[derive(Debug, Clone)]
pub struct Trays {
    noise: Noise,
    wander: Vec<Wander>,
    /// Power of a tray as a multiple of an average one's.
    power_factor: [f64; TRAYS],
    /// Share of the rack's heat that goes into the coolant.
    liquid_share: f64,
    /// Power of flow that the resistance from plate to coolant falls with.
    film_exponent: f64,
    /// Conductance from die to plate, kW/K.
    junction: [f64; TRAYS],
    /// Plate to coolant as built, at nominal flow, K/kW.
    film_built: [f64; TRAYS],
    /// Conductance of the branch as built, L/min per √kPa.
    conductance_built: [f64; TRAYS],

    /// Conductance now.
    conductance: [f64; TRAYS],
    /// Plate to coolant now, at nominal pressure, K/kW.
    film: [f64; TRAYS],
    /// Half the coolant's rise a kW of one die, at 1 kPa, K/kW.
    half_rise: [f64; TRAYS],

    /// Electrical power that the load asks for, with dies at the reference temperature, kW.
    demand: [f64; TRAYS],
    /// Electrical power drawn, kW.
    power: [f64; TRAYS],
    die: [f64; TRAYS],
    plate: [f64; TRAYS],

    throttled: [bool; TRAYS],
    forced: [bool; TRAYS],
    too_hot_seconds: [f64; TRAYS],
    throttle_seconds: [f64; TRAYS],
}

impl Trays {
    /// Trays at rest in coolant of this temperature.
    pub fn new(celsius: f64, build: Build, mut noise: Noise, mut plant: impl FnMut(f64) -> f64) -> Self {
        let Build { noise: noise_scale, unit_spread, .. } = build;
        let (branch, junction_built, film_nominal) =
            (plant(tray_conductance()), plant(DIE_PLATE_RESISTANCE), plant(PLATE_COOLANT_RESISTANCE));
        let (share, film_exponent) = (plant(LIQUID_SHARE).min(LIQUID_SHARE_MAX), plant(FILM_EXPONENT));
        let mut units = |deviation: f64| [(); TRAYS].map(|()| noise.spread(deviation * unit_spread));
        let resistance = units(0.05);
        let conductance_built = resistance.map(|factor: f64| branch / factor.sqrt());
        let power_factor = units(0.02);
        let junction = units(0.04).map(|factor| 1.0 / (junction_built * factor));
        let film_built = units(0.05).map(|factor| film_nominal * factor);
        let liquid_share = share + 0.01 * unit_spread * noise.between(-1.0, 1.0);
        let wander = (0..TRAYS).map(|_| Wander::new(0.03 * noise_scale, 120.0, &mut noise)).collect();
        let mut trays = Self {
            noise,
            wander,
            power_factor,
            liquid_share,
            film_exponent,
            junction,
            film_built,
            conductance_built,
            conductance: conductance_built,
            film: film_built,
            half_rise: [0.0; TRAYS],
            demand: [0.0; TRAYS],
            power: [0.0; TRAYS],
            die: [celsius; TRAYS],
            plate: [celsius; TRAYS],
            throttled: [false; TRAYS],
            forced: [false; TRAYS],
            too_hot_seconds: [0.0; TRAYS],
            throttle_seconds: [0.0; TRAYS],
        };
        trays.obstruct(&[1.0; TRAYS], 1.0);
        trays
    }

    /// Sets the resistance of each branch and of all cold plates as multiples of those built.
    pub fn obstruct(&mut self, branch_factor: &[f64; TRAYS], plate_factor: f64) {
        for tray in 0..TRAYS {
            let conductance = self.conductance_built[tray] / branch_factor[tray].sqrt();
            self.conductance[tray] = conductance;
            self.film[tray] = self.film_built[tray] * plate_factor * self.film_at(conductance);
            self.half_rise[tray] = GPU_EQUIVALENTS / (2.0 * COOLANT_RATE * conductance);
        }
    }

    /// Resistance from plate to coolant of a branch of this conductance, as a multiple of a nominal one's.
    fn film_at(&self, conductance: f64) -> f64 {
        libm::pow(conductance / tray_conductance(), -self.film_exponent)
    }

    /// Makes trays throttle whatever their temperature.
    pub fn force_throttling(&mut self, forced: [bool; TRAYS]) {
        self.forced = forced;
    }

    /// Sets what the load asks for in the next second: `level` is the rack's share of full load.
    pub fn begin_second(&mut self, level: f64) {
        for (tray, wander) in self.wander.iter_mut().enumerate() {
            let wandering = 1.0 + wander.advance_second(&mut self.noise);
            self.demand[tray] = level * wandering * self.power_factor[tray] * RACK_KILOWATTS / TRAYS as f64;
        }
    }

    /// Lets `seconds` pass with `kilopascal` across the branches and coolant of `supply_celsius`;
    /// returns the heat that went into the coolant, kW.
    pub fn step(&mut self, seconds: f64, kilopascal: f64, supply_celsius: f64) -> f64 {
        let root = kilopascal.sqrt();
        // The film's resistance goes with flow^-½, thus with pressure^-¼.
        let film_scale = libm::pow(RACK_KILOPASCAL.sqrt() / root, self.film_exponent);
        let rise_scale = 1.0 / root;
        let die_gain = seconds / DIE_CAPACITY;
        let plate_gain = seconds / PLATE_CAPACITY;
        let mut carried = [0.0; TRAYS];
        for tray in 0..TRAYS {
            let leakage = 1.0 + LEAKAGE_PER_KELVIN * (self.die[tray] - LEAKAGE_REFERENCE_CELSIUS);
            let allowed = if self.throttled[tray] { THROTTLED_SHARE } else { 1.0 };
            let power = self.demand[tray] * leakage * allowed;
            let resistance = self.film[tray] * film_scale + self.half_rise[tray] * rise_scale;
            let into_plate = (self.die[tray] - self.plate[tray]) * self.junction[tray];
            let into_coolant = (self.plate[tray] - supply_celsius) / resistance;
            self.power[tray] = power;
            self.die[tray] += die_gain * (self.liquid_share / GPU_EQUIVALENTS * power - into_plate);
            self.plate[tray] += plate_gain * (into_plate - into_coolant);
            carried[tray] = into_coolant;
        }
        self.throttle(seconds);
        GPU_EQUIVALENTS * carried.iter().sum::<f64>()
    }

    fn throttle(&mut self, seconds: f64) {
        for tray in 0..TRAYS {
            self.too_hot_seconds[tray] =
                if self.die[tray] > SLOWDOWN_CELSIUS { self.too_hot_seconds[tray] + seconds } else { 0.0 };
            let starts = self.too_hot_seconds[tray] >= SLOWDOWN_DELAY_SECONDS;
            let goes_on = self.throttled[tray] && self.die[tray] >= SPEEDUP_CELSIUS;
            self.throttled[tray] = self.forced[tray] || starts || goes_on;
            if self.throttled[tray] {
                self.throttle_seconds[tray] += seconds;
            }
        }
    }

    /// Conductance of all branches together, L/min per √kPa.
    pub fn total_conductance(&self) -> f64 {
        self.conductance.iter().sum()
    }

    /// Electrical power of all trays, kW.
    pub fn total_power(&self) -> f64 {
        self.power.iter().sum()
    }

    /// Share of the heat that goes into the coolant.
    pub fn liquid_share(&self) -> f64 {
        self.liquid_share
    }

    /// Temperature of a tray's dies, °C.
    pub fn die_celsius(&self, tray: usize) -> f64 {
        self.die[tray]
    }

    /// Power of one die of a tray, kW.
    pub fn die_kilowatts(&self, tray: usize) -> f64 {
        self.liquid_share / GPU_EQUIVALENTS * self.power[tray]
    }

    /// How long a tray has throttled since the start, s.
    pub fn throttle_seconds(&self, tray: usize) -> f64 {
        self.throttle_seconds[tray]
    }

    /// Trays in order of how hot they run by their build, hottest first.
    pub fn hottest_by_build(&self) -> Vec<usize> {
        let rise = |tray: usize| {
            let film = self.film_built[tray] * self.film_at(self.conductance_built[tray]);
            self.power_factor[tray] * (1.0 / self.junction[tray] + film)
        };
        let mut order: Vec<usize> = (0..TRAYS).collect();
        order.sort_by(|one, other| rise(*other).total_cmp(&rise(*one)));
        order
    }
}
