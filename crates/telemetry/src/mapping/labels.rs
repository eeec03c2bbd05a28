//! Labels of a metric, and the place they tell.

use std::borrow::Cow;

use crate::signal::Level;
use crate::site::Site;
use crate::{Labels, Name};

use super::Measured;

/// A name with `.` read as `_`: OpenTelemetry's spelling and Prometheus' are one.
pub(super) fn normal(name: &str) -> Cow<'_, str> {
    if name.contains('.') { Cow::Owned(name.replace('.', "_")) } else { Cow::Borrowed(name) }
}

const RACK: [&str; 5] = ["rack", "rack_id", "rack_name", "rackLocationId", "topology_kubernetes_io_rack"];
const LOOP: [&str; 8] =
    ["loop", "cooling_loop", "coolant_loop", "loop_id", "loop_name", "cdu", "cdu_id", "cdu_name"];
/// Who runs there, most telling first. dcgm-exporter renamed `Hostname` to `hostname` in 2026.
const HOST: [&str; 11] = [
    "Hostname",
    "hostname",
    "node",
    "node_name",
    "nodename",
    "k8s_node_name",
    "kubernetes_node",
    "host_name",
    "host",
    "server",
    "instance",
];
/// Who says explicitly in which tray a sensor of a rack is; a host name may only be that of a gateway.
const TRAY: [&str; 2] = ["node", "tray"];
const GPU: [&str; 4] = ["gpu", "gpu_id", "gpu_index", "gpu_name"];
const SENSOR: [&str; 5] = ["sensor", "sensor_id", "sensor_name", "detector_id", "leak_detector_id"];

/// What runs on a place, by the name it gets in `events` and the labels that tell it, most telling first. With
/// `honorLabels: false` the exporter's own pod is in `pod` and the workload's in `exported_pod`.
const WORKLOAD: [(&str, &[&str]); 12] = [
    ("pod", &["exported_pod", "pod", "pod_name", "k8s_pod_name"]),
    ("namespace", &["exported_namespace", "namespace", "pod_namespace", "k8s_namespace_name"]),
    ("container", &["exported_container", "container", "container_name", "k8s_container_name"]),
    ("pod_uid", &["pod_uid", "k8s_pod_uid"]),
    ("deployment", &["k8s_deployment_name", "deployment_name"]),
    ("deployment_id", &["deployment_id"]),
    ("service_version", &["service_version"]),
    ("slurm_job", &["hpc_job", "slurm_job_id", "slurm_job"]),
    ("run", &["run", "run_id", "thermogate_run"]),
    ("pipeline_run", &["cicd_pipeline_run_id"]),
    ("revision", &["vcs_ref_head_revision"]),
    ("vgpu", &["vgpu"]),
];

/// Labels by their normal names, in order, without replica labels.
#[derive(Debug)]
pub(super) struct View<'a> {
    labels: Vec<(Cow<'a, str>, &'a str)>,
    used: std::cell::RefCell<Vec<usize>>,
}

impl<'a> View<'a> {
    pub(super) fn new(labels: &'a [(&'a str, &'a str)], replica_labels: &[Name]) -> Self {
        let mut view: Vec<(Cow<'a, str>, &'a str)> = labels
            .iter()
            .filter(|(name, value)| {
                !value.is_empty() && *name != "__name__" && !replica_labels.iter().any(|it| **it == **name)
            })
            .map(|(name, value)| (normal(name), *value))
            .collect();
        view.extend(process_area(&view));
        // By name and value, so that the order of labels never matters, even where two spellings meet.
        view.sort();
        view.dedup_by(|later, first| later.0 == first.0);
        Self { labels: view, used: std::cell::RefCell::new(Vec::new()) }
    }

    /// The value of a label, by its normal name.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.index(name).map(|index| self.labels[index].1)
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.labels.binary_search_by(|(known, _)| (**known).cmp(name)).ok()
    }

    /// The value of the first of these labels that is there and not taken yet; it is then taken.
    pub(super) fn take(&self, names: &[&str]) -> Option<&'a str> {
        let free = |name: &&str| self.index(name).filter(|index| !self.used.borrow().contains(index));
        let index = names.iter().find_map(free)?;
        self.used.borrow_mut().push(index);
        Some(self.labels[index].1)
    }

    /// What was not taken and is not workload.
    pub(super) fn rest(&self) -> Labels {
        let used = self.used.borrow();
        self.labels
            .iter()
            .enumerate()
            .filter(|(index, (name, _))| {
                !used.contains(index) && !is_workload(name) && !DERIVED.contains(&&**name)
            })
            .map(|(_, (name, value))| (Name::from(&**name), Name::from(*value)))
            .collect()
    }

    /// What runs there.
    pub(super) fn workload(&self) -> Labels {
        WORKLOAD
            .iter()
            .filter_map(|(name, labels)| {
                let value = labels.iter().find_map(|label| self.get(label))?;
                Some(((*name).into(), value.into()))
            })
            .collect()
    }
}

fn is_workload(name: &str) -> bool {
    WORKLOAD.iter().any(|(_, labels)| labels.contains(&name))
}

/// Labels that are made here, for conditions only.
pub(super) const DERIVED: [&str; 3] = ["process_circuit", "process_end", "process_part"];

/// The words of a DSX `processArea` (`Secondary/Supply`) as three labels, whatever their order, and with the
/// spelling `Seccondary` that occurs on the bus.
fn process_area<'a>(labels: &[(Cow<'a, str>, &'a str)]) -> Vec<(Cow<'a, str>, &'a str)> {
    let Some((_, areas)) = labels.iter().find(|(name, _)| name == "processArea") else { return Vec::new() };
    let (mut circuit, mut end, mut part) = (None, None, None);
    for word in areas.split(['/', ',', ' ']).map(str::to_ascii_lowercase) {
        match word.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "primary" | "fws" => circuit = Some("primary"),
            "secondary" | "seccondary" | "tcs" => circuit = Some("secondary"),
            "supply" => end = Some("supply"),
            "return" => end = Some("return"),
            // Seen from the distribution unit: facility water comes in to be the supply, coolant goes out as one.
            "inlet" => end = Some("inlet"),
            "outlet" => end = Some("outlet"),
            "filter" => part = Some("filter"),
            "fill" => part = Some("fill"),
            "pump" => part = Some("pump"),
            _ => {}
        }
    }
    let end = match (circuit, end) {
        (Some("primary"), Some("inlet")) | (Some("secondary"), Some("outlet")) => Some("supply"),
        (Some("primary"), Some("outlet")) | (Some("secondary"), Some("inlet")) => Some("return"),
        (_, end) => end,
    };
    let derived = [circuit, end, part];
    DERIVED.iter().zip(derived).filter_map(|(name, value)| Some((Cow::Borrowed(*name), value?))).collect()
}

/// Where a series belongs, as far as labels and site file tell.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub site: Option<Name>,
    pub cooling_loop: Option<Name>,
    pub rack: Option<Name>,
    pub node: Option<Name>,
    pub device: Option<Name>,
    pub sensor: Option<Name>,
    pub declared: bool,
}

/// Finds the place of a known signal.
pub(super) fn place(labels: &View<'_>, measured: &Measured, site: &Site) -> Found {
    let mut found = Found::default();
    if site.racks.is_empty() && site.loops.is_empty() {
        found.site = labels.take(&["site"]).map(Name::from);
    }
    device_and_sensor(labels, measured, &mut found);
    let host = HOST.iter().find_map(|label| Some((*label, labels.get(label)?)));
    let host_name = host.map(|(label, value)| if label == "instance" { without_port(value) } else { value });
    let by_label = labels.take(&RACK);
    // A reading of a loop that a gateway in some rack passes on is the loop's, not that rack's.
    let of_loop = matches!(measured.level, Level::Loop | Level::Rack)
        && by_label.is_none()
        && loop_label(labels).is_some();
    let by_host = host_name
        .filter(|_| !of_loop)
        .and_then(|host| site.rack_of_host(host).or_else(|| site.rack_of_host(host.split('.').next()?)));
    match by_host.or_else(|| site.rack(by_label?)) {
        Some(rack) => {
            found.rack = Some(rack.name.clone());
            found.cooling_loop.clone_from(&rack.cooling_loop);
            found.declared = true;
        }
        None => found.rack = by_label.map(Name::from),
    }
    if found.rack.is_none() {
        found_loop(labels, site, &mut found);
    }
    let of_feed = measured.kind == crate::signal::SignalKind::Feed;
    if found.rack.is_none() && found.cooling_loop.is_none() && measured.level != Level::Site && !of_feed {
        found.rack = host_name.map(|host| format!("host:{host}").into());
    }
    found.node = match measured.level {
        Level::Node | Level::Device if found.rack.is_some() => labels.take(&TRAY[1..]).or_else(|| {
            let (label, _) = host?;
            labels.take(&[label]);
            host_name
        }),
        Level::Rack | Level::Loop if found.rack.is_some() => labels.take(&TRAY),
        Level::Site | Level::Loop | Level::Rack | Level::Node | Level::Device => None,
    }
    .map(Name::from);
    found
}

/// A rack's loop comes from the site file only, so that all its series are in one partition; a label tells the loop
/// of what has no rack: pumps, exchangers, facility water.
fn found_loop(labels: &View<'_>, site: &Site, found: &mut Found) {
    let Some(name) = loop_label(labels).and_then(|label| labels.take(&[label])) else { return };
    match site.coolant_loop(name) {
        Some(one) => {
            found.cooling_loop = Some(one.name.clone());
            found.declared = true;
        }
        None => found.cooling_loop = Some(name.into()),
    }
}

/// The label that names the loop; of a DSX point the object, where that is a coolant distribution unit.
fn loop_label(labels: &View<'_>) -> Option<&'static str> {
    let cdu = labels.get("objectType") == Some("CDU");
    LOOP.into_iter().chain(cdu.then_some("objectId")).find(|label| labels.get(label).is_some())
}

fn device_and_sensor(labels: &View<'_>, measured: &Measured, found: &mut Found) {
    let name = &*measured.name;
    let of_gpu = name.starts_with("gpu_") || name == "clock_event_reasons";
    found.device = if of_gpu {
        gpu(labels)
    } else {
        let part = ["pump", "filter", "door", "valve", "fan"].into_iter().find(|part| name.starts_with(part));
        let numbered = part.and_then(|part| {
            let value = labels.take(&[part])?;
            Some(if is_number(value) { format!("{part}{value}") } else { value.to_owned() })
        });
        numbered.or_else(|| labels.take(&["device"]).map(str::to_owned)).or_else(|| {
            let by_id = matches!(labels.get("hw_type"), Some("pump" | "valve" | "fan" | "filter"));
            labels.take(if by_id { &["hw_id"] } else { &[] }).map(str::to_owned)
        })
    }
    .map(Name::from);
    found.sensor = match labels.take(&SENSOR).or_else(|| labels.take(&["hw_id"])) {
        Some(sensor) => Some(sensor.into()),
        None => labels.take(&["GPU_I_ID"]).map(|instance| format!("mig{instance}").into()),
    };
}

/// `gpu3`, from the number that dcgm-exporter and its like give, from a Redfish or OpenTelemetry id that ends in one
/// (`HGX_GPU_3`, `gpu_3`), else from whatever names the GPU.
fn gpu(labels: &View<'_>) -> Option<String> {
    let numbered = |value: &str| {
        let digits = value.len() - value.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (head, number) = value.split_at(digits);
        let named = ["", "gpu", "gpu_", "gpu-", "nvidia", "hgx_gpu_"].contains(&&*head.to_ascii_lowercase());
        (named && !number.is_empty()).then(|| format!("gpu{number}"))
    };
    if let Some(value) = labels.take(&GPU) {
        return Some(numbered(value).unwrap_or_else(|| value.to_owned()));
    }
    for label in ["device", "hw_parent", "hw_id"] {
        if let Some(device) = labels.get(label).and_then(numbered) {
            labels.take(&[label]);
            return Some(device);
        }
    }
    // `HGX_GPU_0_DRAM_0_Temp_0`: the GPU is named in the sensor's id.
    let sensor =
        labels.get("sensor_id").or_else(|| labels.get("sensor")).filter(|id| id.starts_with("HGX_GPU_"));
    if let Some(id) = sensor {
        let number: String = id["HGX_GPU_".len()..].chars().take_while(char::is_ascii_digit).collect();
        labels.take(&["sensor_id"]);
        labels.take(&["sensor"]);
        return Some(format!("gpu{number}"));
    }
    labels
        .get("UUID")
        .or_else(|| labels.get("uuid"))
        .or_else(|| labels.take(&["hw_parent", "hw_id", "device"]))
        .map(str::to_owned)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `10.0.0.5:9400` → `10.0.0.5`; an IPv6 address keeps its colons.
fn without_port(instance: &str) -> &str {
    match instance.rsplit_once(':') {
        Some((host, port)) if is_number(port) && (!host.contains(':') || host.ends_with(']')) => host,
        _ => instance,
    }
}

/// The place of a metric that no mapping knows: no rack, and everything that tells it apart as its sensor.
pub(super) fn unmapped_place(labels: &View<'_>) -> Found {
    let node = labels.get("Hostname").or_else(|| labels.get("hostname")).or_else(|| labels.get("node"));
    let device = labels.get("gpu").filter(|gpu| is_number(gpu)).map(|gpu| format!("gpu{gpu}").into());
    let told: Vec<String> = labels
        .labels
        .iter()
        .filter(|(name, _)| {
            !DERIVED.contains(&&**name) && !["Hostname", "hostname", "node"].contains(&&**name)
        })
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    let sensor = told.join(",");
    // Text that long is no name any more; its hash is.
    const READABLE_BYTES_MAX: usize = 200;
    let sensor =
        if sensor.len() > READABLE_BYTES_MAX { crate::sha256_hex(&sensor)[..16].to_owned() } else { sensor };
    Found {
        node: node.map(Name::from),
        device,
        sensor: (!sensor.is_empty()).then(|| sensor.into()),
        ..Found::default()
    }
}
