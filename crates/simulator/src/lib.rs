//! A seeded physical model of liquid-cooled loops and racks, their workloads, sensors and faults. Pure.
