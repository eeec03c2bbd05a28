//! The scenario of the demonstration: three hours at a small site where something happens on both loops.

use telemetry::{EventTime, Microseconds};

use crate::fault::{Fault, FaultKind};
use crate::load::LoadPlan;
use crate::scenario::{FacilityWater, GpuReporting, LoopScenario, RackScenario, Scenario};

impl Scenario {
    /// Two loops of three racks, which work in bursts. After 80 minutes the pump of loop B starts to lose head, until
    /// after 20 more only 40 % are left; on loop A the return thermometer of rack a2 gets stuck after 90 minutes, and
    /// rack a3 falls silent after 100; rack a1 stays healthy.
    pub fn demo(seed: u64) -> Self {
        let minutes = Microseconds::from_minutes;
        let rack = |name: &str, first: i64, faults: Vec<Fault>| RackScenario {
            name: name.into(),
            load: LoadPlan::Bursts {
                base: 0.8,
                peak: 0.96,
                first: minutes(first),
                every: minutes(15),
                lasting: minutes(10),
            },
            faults,
        };
        let head_loss = Fault {
            ramp: minutes(20),
            severity: Some(0.6),
            ..Fault::new(FaultKind::PumpHeadLoss, minutes(80))
        };
        let stuck = Fault {
            signal: Some("coolant_return_temperature".into()),
            ..Fault::new(FaultKind::Stuck, minutes(90))
        };
        let silent = Fault::new(FaultKind::Gap, minutes(100));
        Self {
            name: "demo".into(),
            seed,
            site: "demo".into(),
            start: EventTime::from_unix_micros(1_767_600_000_000_000),
            duration: minutes(180),
            sample_every: Microseconds::from_seconds(5),
            gpus: GpuReporting::default(),
            redundant_supply_sensors: false,
            noise: 1.0,
            unit_spread: 1.0,
            lost_share: 0.001,
            jitter: Microseconds::ZERO,
            plant_error: 0.0,
            unreported: Vec::new(),
            loops: vec![
                LoopScenario {
                    name: "loop-a".into(),
                    facility_water: FacilityWater::default(),
                    faults: Vec::new(),
                    racks: vec![
                        rack("a1", 3, Vec::new()),
                        rack("a2", 5, vec![stuck]),
                        rack("a3", 7, vec![silent]),
                    ],
                },
                LoopScenario {
                    name: "loop-b".into(),
                    facility_water: FacilityWater::default(),
                    faults: vec![head_loss],
                    racks: vec![
                        rack("b1", 3, Vec::new()),
                        rack("b2", 5, Vec::new()),
                        rack("b3", 7, Vec::new()),
                    ],
                },
            ],
        }
    }
}
