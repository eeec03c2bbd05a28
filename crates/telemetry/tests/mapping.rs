//! What metrics of real sources become: signal, unit, place, and what is known of a reading.

use proptest::prelude::*;
use telemetry::mapping::{
    Mapping, Refusal, Resolution, ResolvedSeries, Resolver, SourceMetric, Unmapped, UnmappedPolicy,
};
use telemetry::place::PartitionKey;
use telemetry::record::{Document, Feed, Flag, Temporality};
use telemetry::signal::SIGNALS;
use telemetry::site::Site;
use telemetry::unit::Unit;
use telemetry::{Microseconds, Name};

const SITE: &str = "\
apiVersion: thermogate.dev/v1alpha1
kind: Site
metadata: {name: dc1}
loops:
  - {name: loop-a, aliases: [C-F00-CDU-05]}
racks:
  - {name: a1, loop: loop-a, aliases: [Pod1C-E02], hosts: [node-01], usual: {coolant_supply_temperature: [18, 40]}}
";

fn document(text: &str) -> Document {
    Document { name: "plant.yaml".into(), text: text.into() }
}

fn resolver() -> Resolver {
    Resolver::new(Mapping::built_in(), Site::empty("default"))
}

fn with_site() -> Resolver {
    Resolver::new(Mapping::built_in(), Site::read(&document(SITE)).unwrap())
}

fn with_mapping(body: &str) -> Result<Resolver, String> {
    let text =
        format!("apiVersion: thermogate.dev/v1alpha1\nkind: Mapping\nmetadata: {{name: plant}}\n{body}");
    let mapping = Mapping::with(&[document(&text)])
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    Ok(Resolver::new(mapping, Site::empty("default")))
}

/// `name{label=value,…} unit` as a metric of `source`.
fn resolve(resolver: &Resolver, source: &str, text: &str) -> Resolution {
    let (name, rest) = text.split_once('{').unwrap_or((text.split(' ').next().unwrap(), ""));
    let (labels, unit) = rest.split_once('}').unwrap_or(("", text.strip_prefix(name).unwrap_or("")));
    let labels: Vec<(&str, &str)> = labels.split(',').filter_map(|label| label.split_once('=')).collect();
    let unit = Some(unit.trim()).filter(|unit| !unit.is_empty());
    resolver.resolve(&SourceMetric { source, name, unit, labels: &labels })
}

fn series(resolver: &Resolver, source: &str, text: &str) -> ResolvedSeries {
    match resolve(resolver, source, text) {
        Resolution::Series(series) => *series,
        other => panic!("{text}: {other:?}"),
    }
}

/// The series in one line: `signal of place, sensor s [unit]`.
fn told(resolver: &Resolver, source: &str, text: &str) -> String {
    match resolve(resolver, source, text) {
        Resolution::Series(series) => format!("{} [{}]", series.identity, series.unit),
        Resolution::Unmapped(Unmapped::Keep(series)) => {
            format!("kept: {} [{}]", series.identity, series.unit)
        }
        Resolution::Unmapped(Unmapped::Count) => "counted".to_owned(),
        Resolution::Refused(refusal) => refusal.to_string(),
        Resolution::Ignored(reason) => format!("ignored: {reason}"),
    }
}

#[test]
fn every_source_of_a_signal_leads_to_it() {
    let resolver = resolver();
    for (source, metric, expected) in [
        // The load generator's names: canonical with a Prometheus unit suffix.
        (
            "remote_write",
            "coolant_supply_temperature_celsius{loop=c1,rack=r1}",
            "coolant_supply_temperature of site default, rack r1 [Cel]",
        ),
        (
            "remote_write",
            "coolant_flow_liters_per_minute{loop=c1,rack=r1}",
            "coolant_flow of site default, rack r1 [L/min]",
        ),
        ("remote_write", "coolant_pressure_bar{rack=r1}", "coolant_pressure of site default, rack r1 [kPa]"),
        ("remote_write", "pump_speed_ratio{loop=c1}", "pump_speed of site default, loop c1 [%]"),
        ("remote_write", "pump_speed_rpm{loop=c1}", "pump_rotational_speed of site default, loop c1 [rpm]"),
        ("remote_write", "leak_state{rack=r1}", "leak_state of site default, rack r1 []"),
        ("remote_write", "rack_power_watts{rack=r1}", "rack_power of site default, rack r1 [kW]"),
        (
            "remote_write",
            "coolant_conductivity_microsiemens_per_centimeter{rack=r1}",
            "coolant_conductivity of site default, rack r1 [uS/cm]",
        ),
        (
            "remote_write",
            "pump_vibration_millimeters_per_second{rack=r1}",
            "pump_vibration of site default, rack r1 [mm/s]",
        ),
        (
            "remote_write",
            "gpu_thermal_throttle_time_seconds_total{rack=r1,Hostname=n1,gpu=0}",
            "gpu_thermal_throttle_time of site default, rack r1, node n1, device gpu0 [s]",
        ),
        // dcgm-exporter: no rack label means a pseudo-rack; `hostname` since May 2026.
        (
            "remote_write",
            "DCGM_FI_DEV_GPU_TEMP{gpu=3,UUID=GPU-1,device=nvidia3,Hostname=n1}",
            "gpu_temperature of site default, rack host:n1, node n1, device gpu3 [Cel]",
        ),
        (
            "remote_write",
            "DCGM_FI_DEV_GPU_TEMP{gpu=3,hostname=n1,rack=r1}",
            "gpu_temperature of site default, rack r1, node n1, device gpu3 [Cel]",
        ),
        (
            "remote_write",
            "GPU_TEMP_CELSIUS{gpu=3,Hostname=n1}",
            "gpu_temperature of site default, rack host:n1, node n1, device gpu3 [Cel]",
        ),
        (
            "remote_write",
            "DCGM_FI_DEV_GPU_TEMP_LIMIT{gpu=3,Hostname=n1}",
            "gpu_temperature_margin of site default, rack host:n1, node n1, device gpu3 [K]",
        ),
        (
            "remote_write",
            "DCGM_FI_DEV_GPU_UTIL{gpu=0,Hostname=n1,GPU_I_ID=7}",
            "gpu_utilization of site default, rack host:n1, node n1, device gpu0, sensor mig7 [%]",
        ),
        (
            "otlp",
            "DCGM_FI_DEV_CLOCKS_EVENT_REASONS{gpu=0,host.name=n1}",
            "clock_event_reasons of site default, rack host:n1, node n1, device gpu0 []",
        ),
        // OpenTelemetry hw.*, over OTLP and through Prometheus.
        (
            "otlp",
            "hw.temperature{hw.id=t1,hw.sensor_location=coolant_supply,rack=r1} Cel",
            "coolant_supply_temperature of site default, rack r1, sensor t1 [Cel]",
        ),
        (
            "remote_write",
            "hw_temperature_celsius{hw_id=t1,hw_sensor_location=coolant_return,rack=r1}",
            "coolant_return_temperature of site default, rack r1, sensor t1 [Cel]",
        ),
        (
            "otlp",
            "hw.temperature{hw.parent=gpu_2,hw.sensor_location=core,host.name=n1} Cel",
            "gpu_temperature of site default, rack host:n1, node n1, device gpu2 [Cel]",
        ),
        (
            "otlp",
            "hw.temperature.limit{hw.parent=gpu_2,hw.limit_type=high.critical,host.name=n1} Cel",
            "gpu_slowdown_temperature of site default, rack host:n1, node n1, device gpu2 [Cel]",
        ),
        (
            "otlp",
            "hw.gpu.utilization{hw.id=gpu_2,host.name=n1} 1",
            "gpu_utilization of site default, rack host:n1, node n1, device gpu2 [%]",
        ),
        ("otlp", "hw.power{hw.type=rack,rack=r1} W", "rack_power of site default, rack r1 [kW]"),
        (
            "otlp",
            "hw.power{hw.type=pump,hw.id=p1,loop=c1} W",
            "pump_power of site default, loop c1, device p1 [W]",
        ),
        (
            "otlp",
            "hw.liquid.flow{hw.sensor_location=coolant_return,loop=c1} gpm",
            "coolant_return_flow of site default, loop c1 [L/min]",
        ),
        // Redfish.
        (
            "remote_write",
            "redfish_chassis_temperature_celsius{sensor_id=HGX_GPU_1_Temp_0,instance=10.0.0.5:9610}",
            "gpu_temperature of site default, rack host:10.0.0.5, node 10.0.0.5, device gpu1 [Cel]",
        ),
        (
            "remote_write",
            "redfish_chassis_temperature_celsius{sensor_id=HGX_GPU_1_Temp_1,rack=r1}",
            "gpu_temperature_margin of site default, rack r1, device gpu1 [K]",
        ),
        (
            "remote_write",
            "redfish_chassis_temperature_celsius{sensor_id=HGX_GPU_0_DRAM_0_Temp_0,rack=r1}",
            "gpu_memory_temperature of site default, rack r1, device gpu0 [Cel]",
        ),
        (
            "redfish",
            "SupplyTemperatureCelsius{CoolingLoopType=FWS,loop=c1}",
            "facility_supply_temperature of site default, loop c1 [Cel]",
        ),
        (
            "redfish",
            "PumpSpeedPercent.SpeedRPM{loop=c1,pump=2}",
            "pump_rotational_speed of site default, loop c1, device pump2 [rpm]",
        ),
        ("redfish", "PowerWatts{rack=r1}", "rack_power of site default, rack r1 [kW]"),
        // DSX: process areas, the misspelt one, set points, filters.
        (
            "dsx_bms",
            "RackLiquidFlow{objectType=Rack,rackLocationId=Pod1C-E02} LPM",
            "coolant_flow of site default, rack Pod1C-E02 [L/min]",
        ),
        (
            "dsx_bms",
            "LiquidFlow{objectType=CDU,objectId=cdu5,processArea=Seccondary,tagPath=x} LPM",
            "coolant_flow of site default, loop cdu5, sensor x [L/min]",
        ),
        (
            "dsx_bms",
            "LiquidTemperature{objectType=CDU,objectId=cdu5,processArea=Supply/Secondary,isSetpoint=true} C",
            "coolant_supply_temperature_setpoint of site default, loop cdu5 [Cel]",
        ),
        (
            "dsx_bms",
            "LiquidTemperature{objectType=CDU,objectId=cdu5,processArea=Primary/Outlet} C",
            "facility_return_temperature of site default, loop cdu5 [Cel]",
        ),
        (
            "dsx_bms",
            "LiquidDifferentialPressure{objectType=CDU,objectId=cdu5,processArea=Secondary/Filter1} kPa",
            "filter_differential_pressure of site default, loop cdu5 [kPa]",
        ),
        (
            "dsx_bms",
            "PumpSpeed{objectType=CDU,objectId=cdu5,processArea=Secondary,tagPath=p1} rpm",
            "pump_rotational_speed of site default, loop cdu5, sensor p1 [rpm]",
        ),
        (
            "dsx_bms",
            "RackLeakSensorFault{objectType=Rack,rackLocationId=r1,stateText=0}",
            "leak_state of site default, rack r1, sensor sensor_fault []",
        ),
        // Other exporters.
        ("remote_write", "CDULiquidFlow{loop=c1}", "coolant_flow of site default, loop c1 [L/min]"),
        (
            "remote_write",
            "dlc_system_sensor{metric=delta_t1,server=s1,unit=celsius}",
            "coolant_delta_t of site default, rack host:s1 [K]",
        ),
        // Files: places are columns.
        (
            "file",
            "coolant_flow{site=s2,loop=c1,rack=r1,node=n1,device=d1,sensor=B}",
            "coolant_flow of site s2, rack r1, node n1, device d1, sensor B [L/min]",
        ),
    ] {
        assert_eq!(told(&resolver, source, metric), expected, "{source} {metric}");
    }
}

#[test]
fn what_is_no_signal_is_kept_under_its_own_name_and_told_apart_by_all_its_labels() {
    let resolver = resolver();
    for (metric, expected) in [
        (
            "up{job=prometheus,instance=localhost:9090}",
            r#"kept: up of site default, sensor instance="localhost:9090",job="prometheus" []"#,
        ),
        (
            "DCGM_FI_DEV_XID_ERRORS{gpu=1,Hostname=n1}",
            r#"kept: DCGM_FI_DEV_XID_ERRORS of site default, node n1, device gpu1, sensor gpu="1" []"#,
        ),
        (
            "hw.temperature{hw.id=cpu0,hw.parent=cpu,hw.sensor_location=core} Cel",
            r#"kept: hw.temperature of site default, sensor hw_id="cpu0",hw_parent="cpu",hw_sensor_location="core" [Cel]"#,
        ),
        // A fill pump that only says On and Off is no speed.
        (
            "PumpSpeed{objectType=CDU,processArea=Fill,stateText=0}",
            r#"kept: PumpSpeed of site default, sensor objectType="CDU",processArea="Fill",stateText="0" []"#,
        ),
        ("target_info{job=x}", "ignored: describes its target in labels and carries no reading"),
    ] {
        assert_eq!(
            told(&resolver, if metric.starts_with("Pump") { "dsx_bms" } else { "otlp" }, metric),
            expected
        );
    }
    let counting = Mapping::built_in().or_unmapped(UnmappedPolicy::Count, &[]);
    assert_eq!(told(&Resolver::new(counting, Site::empty("default")), "otlp", "up{job=x}"), "counted");
}

#[test]
fn a_unit_that_does_not_fit_is_refused_with_a_way_to_mend_it() {
    let resolver = resolver();
    for (metric, expected) in [
        (
            "coolant_flow{rack=r1} kPa",
            r#"coolant_flow ("coolant_flow" of otlp) comes in "kPa", expected "L/min": set the source's unit, or map the metric with its own row and unit"#,
        ),
        (
            "rack_power{rack=r1} watz",
            r#"rack_power ("rack_power" of otlp) comes in the unknown unit "watz", did you mean "watt"?: set the source's unit, or name it under units in a mapping"#,
        ),
        (
            "rack_power_watts{rack=r1} kW",
            r#""rack_power_watts" of otlp says "W" in its name and "kW" as its unit: mend one of them, or name the right one under units in a mapping"#,
        ),
        (
            "hw.pump.speed_ratio{loop=c1} Cel",
            r#"pump_speed ("hw.pump.speed_ratio" of otlp) comes in "Cel", expected "%": set the source's unit, or map the metric with its own row and unit"#,
        ),
    ] {
        assert_eq!(told(&resolver, "otlp", metric), expected);
    }
    assert!(matches!(
        resolve(&resolver, "otlp", "leak_state{rack=r1} %"),
        Resolution::Refused(Refusal::UnitMismatch { .. })
    ));
    assert_eq!(told(&resolver, "otlp", "leak_state{rack=r1} 1"), "leak_state of site default, rack r1 []");
}

#[test]
fn the_site_file_decides_about_places() {
    let resolver = with_site();
    let loop_a = PartitionKey::Loop { site: "dc1".into(), name: "loop-a".into() };
    // By host, whatever the label says; by alias; by the loop's alias.
    let gpu =
        series(&resolver, "otlp", "DCGM_FI_DEV_GPU_TEMP{gpu=0,Hostname=node-01.dc1.example,rack=wrong}");
    assert_eq!(
        gpu.identity.to_string(),
        "gpu_temperature of site dc1, rack a1, node node-01.dc1.example, device gpu0"
    );
    let flow = series(&resolver, "dsx_bms", "RackLiquidFlow{objectType=Rack,rackLocationId=Pod1C-E02} LPM");
    assert_eq!(flow.identity.to_string(), "coolant_flow of site dc1, rack a1");
    let pump = series(
        &resolver,
        "dsx_bms",
        "PumpSpeed{objectType=CDU,objectId=C-F00-CDU-05,processArea=Secondary} %",
    );
    assert_eq!(pump.identity.to_string(), "pump_speed of site dc1, loop loop-a");
    for series in [&gpu, &flow, &pump] {
        assert!(series.declared);
        assert_eq!(series.partition, loop_a);
        assert_eq!(series.cooling_loop.as_deref(), Some("loop-a"));
    }
    let other = series(&resolver, "otlp", "coolant_flow{rack=b7,loop=loop-a}");
    assert!(!other.declared, "a label does not put a rack on a loop");
    assert_eq!(other.partition, PartitionKey::Rack { site: "dc1".into(), name: "b7".into() });
    let pump = series(&resolver, "otlp", "pump_speed{loop=loop-b,instance=node-01:9100}");
    assert_eq!(
        pump.identity.to_string(),
        "pump_speed of site dc1, loop loop-b",
        "its gateway is in a1, the pump is not"
    );
    let supply = series(&resolver, "otlp", "coolant_supply_temperature{rack=a1}");
    assert_eq!(supply.rules.judge(41.0), (41.0, Flag::Unusual), "the site's usual range counts");
}

#[test]
fn labels_that_say_nothing_about_the_series_make_no_new_one() {
    let resolver = resolver();
    let one = series(
        &resolver,
        "remote_write",
        "DCGM_FI_DEV_GPU_TEMP{gpu=0,Hostname=n1,pod=a,namespace=x,prometheus_replica=0,UUID=GPU-1}",
    );
    let other = series(
        &resolver,
        "remote_write",
        "DCGM_FI_DEV_GPU_TEMP{gpu=0,Hostname=n1,pod=b,namespace=x,prometheus_replica=1,UUID=GPU-1}",
    );
    assert_eq!((&one.identity, &one.labels), (&other.identity, &other.labels));
    assert_eq!(one.labels.keys().map(|label| &**label).collect::<Vec<_>>(), ["UUID"]);
    assert_eq!(one.workload.get("pod").map(|pod| &**pod), Some("a"));
    let exported = series(
        &resolver,
        "remote_write",
        "DCGM_FI_DEV_GPU_TEMP{gpu=0,Hostname=n1,pod=exporter,exported_pod=job-7}",
    );
    assert_eq!(
        exported.workload.get("pod").map(|pod| &**pod),
        Some("job-7"),
        "the workload's pod, not the exporter's"
    );
}

#[test]
fn a_reading_is_told_in_the_canonical_unit_and_flagged() {
    let resolver = resolver();
    let judge = |source: &str, metric: &str, raw: f64| series(&resolver, source, metric).rules.judge(raw);
    let int64_blank = 9_223_372_036_854_775_794.0;
    for (metric, raw, expected) in [
        ("coolant_supply_temperature_fahrenheit{rack=r}", 95.0, (35.0, Flag::Ok)),
        ("coolant_supply_temperature{rack=r}", 3_200.0, (3_200.0, Flag::Implausible)),
        ("coolant_supply_temperature{rack=r}", 52.0, (52.0, Flag::Unusual)),
        ("coolant_supply_temperature{rack=r}", f64::INFINITY, (f64::INFINITY, Flag::Implausible)),
        ("coolant_flow{rack=r}", 400.0, (400.0, Flag::Unusual)),
        ("coolant_flow{loop=c}", 400.0, (400.0, Flag::Ok)),
        ("pump_speed_ratio{loop=c}", 0.8, (80.0, Flag::Ok)),
        ("rack_power_watts{rack=r}", 110_000.0, (110.0, Flag::Ok)),
        ("DCGM_FI_DEV_MEMORY_TEMP{gpu=0,Hostname=n}", int64_blank, (int64_blank, Flag::Sentinel)),
        (
            "DCGM_FI_DEV_CLOCKS_EVENT_REASONS{gpu=0,Hostname=n}",
            2_147_483_634.0,
            (2_147_483_634.0, Flag::Sentinel),
        ),
        ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS{gpu=0,Hostname=n}", 96.0, (96.0, Flag::Ok)),
        ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS{gpu=0,Hostname=n}", 0.5, (0.5, Flag::Implausible)),
        (
            "DCGM_FI_DEV_POWER_USAGE{gpu=0,Hostname=n}",
            140_737_488_355_330.0,
            (140_737_488_355_330.0, Flag::Sentinel),
        ),
        ("DCGM_FI_DEV_THERMAL_VIOLATION{gpu=0,Hostname=n}", 2.5e9, (2.5, Flag::Ok)),
        ("redfish_chassis_leak_detector_health{rack=r}", 1.0, (0.0, Flag::Ok)),
        ("redfish_chassis_leak_detector_health{rack=r}", 3.0, (2.0, Flag::Ok)),
        ("redfish_chassis_leak_detector_health{rack=r}", 7.0, (7.0, Flag::Implausible)),
        ("leak_state{rack=r}", 3.0, (3.0, Flag::Distrusted)),
        ("leak_state{rack=r}", 0.5, (0.5, Flag::Implausible)),
        ("LeakSensorFaultRack{rack=r}", 1.0, (3.0, Flag::Distrusted)),
    ] {
        assert_eq!(judge("remote_write", metric, raw), expected, "{metric} {raw}");
    }
    assert_eq!(judge("otlp", "rack_power{rack=r}", f64::NAN).1, Flag::Sentinel);
    assert_eq!(
        series(&resolver, "otlp", "DCGM_FI_DEV_THERMAL_VIOLATION{gpu=0}").temporality,
        Temporality::Cumulative
    );
}

#[test]
fn a_reading_that_comes_as_text_is_a_number_a_state_a_duration_or_nothing() {
    let resolver = resolver();
    let judge = |metric: &str, text: &str| series(&resolver, "redfish", metric).rules.judge_text(text);
    assert_eq!(judge("SupplyTemperatureCelsius{rack=r}", " 35.5 "), (35.5, Flag::Ok));
    for text in ["ns", "no reading", "cr", "", "n/a"] {
        let (value, flag) = judge("SupplyTemperatureCelsius{rack=r}", text);
        assert!(value.is_nan() && flag == Flag::Sentinel, "{text:?}");
    }
    assert_eq!(judge("DetectorState{rack=r}", "OK"), (0.0, Flag::Ok));
    assert_eq!(judge("DetectorState{rack=r}", "LeakDetected"), (2.0, Flag::Ok));
    assert_eq!(judge("DetectorState{rack=r}", "Unavailable"), (3.0, Flag::Distrusted));
    assert_eq!(judge("ThermalLimitThrottleDuration{rack=r,gpu=0}", "PT1.5S"), (1.5, Flag::Ok));
}

#[test]
fn a_user_maps_metrics_signals_units_and_sources_of_their_own() {
    let resolver = with_mapping(
        "signals:
  machine_temperature: {unit: \"1\", span: null, usual: [70, 100]}
units: {coolant_supply_temperature: degF}
replicaLabels: [ha]
sources:
  - {name: plc, protocol: otlp, match: {job: cdu}, publishes: {onChange: {republish: 60s}}, scrapeGrid: 15s}
  - {name: file, publishes: {periodic: 300s}}
rows:
  - {metric: cdu_t, source: plc, match: {side: supply, mode: {not: [test]}}, signal: coolant_supply_temperature, unit: Cel, scale: 0.1}
  - {metric: cdu_t, source: plc, match: {side: return, mode: {not: [test]}}, signal: coolant_return_temperature, unit: Cel, scale: 0.1}
  - {metric: ld, match: {id: {like: 'LD_#'}}, signal: leak_state, states: {0: ok, 1: critical, 9: unavailable}, sensorLabel: id}
  - {metric: numbered, match: {port: 0, lane: [1, y]}, signal: coolant_flow}
  - {metric: cdu_debug, ignore: no reading}
  - {metric: DCGM_FI_DEV_GPU_TEMP, signal: gpu_memory_temperature}
",
    )
    .unwrap();
    let supply = series(&resolver, "otlp", "cdu_t{job=cdu,side=supply,loop=c1,ha=1}");
    assert_eq!(supply.identity.to_string(), "coolant_supply_temperature of site default, loop c1");
    assert_eq!(supply.rules.judge(325.0), (32.5, Flag::Ok));
    assert_eq!(&*supply.source, "plc");
    assert_eq!(supply.feed, Feed::OnChange { republish: Microseconds::from_seconds(60) });
    assert_eq!(supply.rules.scrape_grid, Some(Microseconds::from_seconds(15)));
    assert!(!supply.labels.contains_key("ha"));
    assert!(told(&resolver, "otlp", "cdu_t{job=cdu,side=supply,mode=test,loop=c1}").starts_with("kept: "));
    assert!(told(&resolver, "otlp", "cdu_t{job=other,side=supply,loop=c1}").starts_with("kept: "));
    let leak = series(&resolver, "otlp", "ld{id=LD_4,rack=r1}");
    assert_eq!(
        (leak.identity.sensor.as_deref(), leak.rules.judge(9.0)),
        (Some("LD_4"), (3.0, Flag::Distrusted))
    );
    assert_eq!(
        &*series(&resolver, "otlp", "numbered{port=0,lane=y,rack=r1}").identity.signal,
        "coolant_flow"
    );
    assert_eq!(told(&resolver, "otlp", "cdu_debug"), "ignored: no reading");
    assert_eq!(
        &*series(&resolver, "otlp", "DCGM_FI_DEV_GPU_TEMP{gpu=0}").identity.signal,
        "gpu_memory_temperature"
    );
    assert_eq!(
        series(&resolver, "otlp", "coolant_supply_temperature{rack=r}").rules.judge(95.0),
        (35.0, Flag::Ok)
    );
    let machine = series(&resolver, "file", "machine_temperature{rack=r}");
    assert_eq!(
        (&*machine.unit, machine.rules.judge(-1e9), machine.rules.judge(80.0).1),
        ("1", (-1e9, Flag::Unusual), Flag::Ok)
    );
    assert_eq!(machine.feed, Feed::Periodic { interval: Microseconds::from_seconds(300) });
    assert_eq!(resolver.mapping().unit_of("machine_temperature"), Some(Unit::ONE));
    assert_eq!(resolver.mapping().unit_of("machine_temprature"), None);
    assert!(
        resolver
            .mapping()
            .unknown_signal("machine_temprature")
            .ends_with("did you mean \"machine_temperature\"?")
    );
}

#[test]
fn a_mistake_in_a_mapping_is_told_with_its_line() {
    for (body, expected) in [
        (
            "rows:\n  - {metric: a, signal: coolant_flow}\n  - {metric: a, match: {x: one}, signal: rack_power}",
            "plant.yaml:6: plant.yaml:5 and plant.yaml:6 match the same points of \"a\": tell them apart by source or match",
        ),
        (
            "rows:\n  - {metric: a, signal: coolant_flwo}",
            "plant.yaml:5: no signal is called \"coolant_flwo\": use a canonical name, or declare it under signals in a mapping; did you mean \"coolant_flow\"?",
        ),
        (
            "rows:\n  - {metric: a, signal: coolant_flow, unit: kPa}",
            "plant.yaml:5: coolant_flow is kept in L/min: a reading in \"kPa\" cannot be told in \"L/min\": they measure different things",
        ),
        (
            "rows:\n  - {metric: a, signal: coolant_flow, unit: litres_per_minut}",
            "plant.yaml:5: unit \"litres_per_minut\" is unknown: write a UCUM symbol; did you mean \"litres_per_minute\"?",
        ),
        (
            "rows:\n  - {metric: a}",
            "plant.yaml:5: a row needs either signal or ignore: say what the metric is, or why it is dropped",
        ),
        (
            "rows:\n  - {metric: a, signal: leak_state, states: {0: fine}}",
            "plant.yaml:5: state \"fine\" is none of ok, warning, critical, unavailable, absent: write one of them",
        ),
        (
            "rows:\n  - {metric: a, signal: coolant_flow, scale: 0}",
            "plant.yaml:5: scale is 0: give the factor that a reading is multiplied by, such as 0.1",
        ),
        (
            "signals: {coolant_flow: {unit: kW, span: null}}",
            "plant.yaml:4: \"coolant_flow\" is a canonical signal: declare another name",
        ),
        (
            "signals: {x: {unit: parsec, span: null}}",
            "plant.yaml:4: signal \"x\" has the unknown unit \"parsec\"",
        ),
        (
            "sources:\n  - {name: plc, publishes: {periodic: 10}}",
            "plant.yaml:5: \"10\" is not a length of time: write a number and a unit",
        ),
        (
            "rows:\n  - {metric: a, match: {x: y}, signal: rack_power}",
            "plant.yaml:5: a value such as y, no or true is read as a truth value: write it in quotes",
        ),
        (
            "rows:\n  - {metric: a, match: {x: {lke: b}}, signal: rack_power}",
            "plant.yaml:5: unknown field `lke`, expected one of not, like, absent; did you mean `like`?",
        ),
        ("unmaped: keep", "plant.yaml:4: unknown field `unmaped`"),
        ("unmapped: drop", "plant.yaml:4: unknown variant `drop`, expected"),
    ] {
        let message = with_mapping(body).expect_err(body);
        assert!(message.starts_with(expected), "{body}\n{message}");
    }
}

type OwnedLabels = Vec<(String, String)>;

fn shuffled(labels: OwnedLabels) -> impl Strategy<Value = (OwnedLabels, OwnedLabels)> {
    (Just(labels.clone()), Just(labels).prop_shuffle())
}

fn labels() -> impl Strategy<Value = OwnedLabels> {
    let name = prop::sample::select(vec![
        "rack",
        "rack_id",
        "loop",
        "cdu",
        "Hostname",
        "hostname",
        "node",
        "instance",
        "gpu",
        "device",
        "sensor",
        "pod",
        "UUID",
        "hw.id",
        "hw_id",
        "hw.type",
        "hw.parent",
        "hw.sensor_location",
        "site",
        "host.name",
        "host_name",
        "prometheus_replica",
    ]);
    prop::collection::btree_map(name.prop_map(str::to_owned), "[a-c0-2]{1,2}", 0..8)
        .prop_map(|map| map.into_iter().collect())
}

fn metric_name() -> impl Strategy<Value = &'static str> {
    let mut names: Vec<&'static str> = SIGNALS.iter().map(|signal| signal.name).collect();
    names.extend(["hw.temperature", "DCGM_FI_DEV_GPU_TEMP", "hw_power_watts", "up", "LiquidTemperature"]);
    prop::sample::select(names)
}

proptest! {
    /// The order in which a source sends labels never matters.
    #[test]
    fn the_order_of_labels_changes_nothing((one, other) in labels().prop_flat_map(shuffled), name in metric_name()) {
        let resolver = resolver();
        let resolved = |labels: &[(String, String)]| {
            let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            resolver.resolve(&SourceMetric { source: "otlp", name, unit: None, labels: &labels })
        };
        prop_assert_eq!(resolved(&one), resolved(&other));
    }

    /// A pod, a namespace or a replica never makes another series.
    #[test]
    fn workload_and_replica_change_no_identity(labels in labels(), name in metric_name(), value in "[a-z]{1,3}") {
        let resolver = resolver();
        let identity = |labels: &[(&str, &str)]| match resolver.resolve(&SourceMetric { source: "otlp", name, unit: None, labels }) {
            Resolution::Series(series) => Some(series.identity),
            Resolution::Unmapped(_) | Resolution::Refused(_) | Resolution::Ignored(_) => None,
        };
        let plain: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut more = plain.clone();
        more.extend([("namespace", value.as_str()), ("k8s.pod.name", &value), ("hpc_job", &value), ("__replica__", &value)]);
        prop_assert_eq!(identity(&plain), identity(&more));
    }

    /// A flag other than ok and unusual is never given to a reading inside the sensor's span, and never missing outside.
    #[test]
    fn the_span_decides_what_is_a_reading(index in 0..SIGNALS.len(), value in -20_000f64..20_000.0) {
        let signal = &SIGNALS[index];
        let series = series(&resolver(), "file", &format!("{}{{rack=r}}", signal.name));
        let (told, flag) = series.rules.judge(value);
        if series.rules.kind == telemetry::signal::SignalKind::Gauge {
            prop_assert_eq!(told, value);
            prop_assert_eq!(flag.is_reading(), signal.span.holds(value));
        }
    }
}

#[test]
fn every_signal_maps_from_its_own_name_with_and_without_a_unit_suffix() {
    let resolver = resolver();
    let suffixes: &[(&str, &[&str])] = &[
        ("Cel", &["celsius", "fahrenheit", "kelvin"]),
        ("K", &["kelvin", "celsius"]),
        ("L/min", &["liters_per_minute", "litres_per_minute", "gpm", "lpm", "liters_per_second"]),
        ("kPa", &["kilopascals", "pascals", "bar", "psi", "kpa", "kPa"]),
        ("%", &["percent", "ratio"]),
        ("kW", &["kilowatts", "watts", "kW"]),
        ("W", &["watts", "kilowatts"]),
        ("s", &["seconds", "seconds_total", "nanoseconds_total", "milliseconds"]),
        ("rpm", &["rpm"]),
        ("mm/s", &["millimeters_per_second"]),
        ("uS/cm", &["microsiemens_per_centimeter"]),
        ("MHz", &["megahertz", "hertz"]),
        ("ms", &["milliseconds", "seconds"]),
        ("", &[]),
    ];
    for signal in SIGNALS {
        let (_, forms) =
            suffixes.iter().find(|(unit, _)| *unit == signal.unit.symbol()).expect("every unit has forms");
        let names =
            forms.iter().map(|form| format!("{}_{form}", signal.name)).chain([signal.name.to_owned()]);
        for name in names {
            for source in ["otlp", "remote_write", "file", "any"] {
                let series = series(&resolver, source, &format!("{name}{{rack=r}}"));
                assert_eq!(
                    (&*series.identity.signal, &*series.unit),
                    (signal.name, signal.unit.symbol()),
                    "{name}"
                );
                assert_eq!(series.source_name, Name::from(name.as_str()));
            }
        }
    }
}
