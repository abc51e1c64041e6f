"""A real Apache Kafka on this machine, for the demo and the tests: fetched once by Maven, run with Java 17."""

from services.demo.kafka.cluster import Cluster, broker_cluster, one_broker
from services.demo.kafka.jars import VERSION, jars
from services.demo.kafka.java import KafkaMissingError
from services.demo.kafka.node import Node

__all__ = ["VERSION", "Cluster", "KafkaMissingError", "Node", "broker_cluster", "jars", "one_broker"]
