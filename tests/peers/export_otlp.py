"""Sends gauges with the OpenTelemetry SDK for Python over OTLP/gRPC, and prints what it sent as JSON lines.

Usage: export_otlp.py HOST:PORT
"""
import json
import sys

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

VALUES = {
    ("hw.temperature", "Cel"): [
        (31.25, {"rack": "r1", "hw.id": "s1", "hw.sensor_location": "coolant_supply"}),
        (41.5, {"rack": "r1", "hw.id": "s2", "hw.sensor_location": "coolant_return"}),
        (71.0, {"rack": "r1", "hw.id": "gpu0", "hw.parent": "gpu", "hw.sensor_location": "core", "host.name": "n1", "gpu": "0"}),
    ],
    ("hw.power", "W"): [(98500.0, {"rack": "r1", "hw.id": "p1", "hw.type": "rack"})],
    ("hw.liquid.flow", "L/min"): [(148.5, {"rack": "r1", "hw.id": "f1"})],
}


class Recording(MetricExporter):
    """Exports, and remembers what it exported with its times."""

    def __init__(self, target):
        super().__init__()
        self.exporter = OTLPMetricExporter(endpoint=target, insecure=True)

    def export(self, metrics_data, timeout_millis=10_000, **kwargs):
        result = self.exporter.export(metrics_data, timeout_millis, **kwargs)
        if result is not MetricExportResult.SUCCESS:
            raise SystemExit("the export failed")
        for resource in metrics_data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        print(json.dumps({
                            "name": metric.name, "unit": metric.unit, "value": point.value,
                            "attributes": dict(point.attributes), "time_unix_nano": point.time_unix_nano,
                        }))
        return result

    def force_flush(self, timeout_millis=10_000):
        return self.exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis=10_000, **kwargs):
        self.exporter.shutdown(timeout_millis)


def main():
    reader = PeriodicExportingMetricReader(Recording(sys.argv[1]), export_interval_millis=3_600_000)
    provider = MeterProvider(metric_readers=[reader], resource=Resource.create({"service.name": "bmc-collector"}))
    meter = provider.get_meter("test")
    for (name, unit), points in VALUES.items():
        observations = [Observation(value, attributes) for value, attributes in points]
        meter.create_observable_gauge(name, callbacks=[lambda options, observations=observations: observations], unit=unit)
    provider.force_flush()
    provider.shutdown()


main()
