"""Tells twistd that `ostiary` exists. Names the module by string, so listing plugins imports nothing."""

from twisted.application.service import ServiceMaker

ostiary = ServiceMaker("Ostiary", "gateway.tap", "The access gateway that proves its evidence.", "ostiary")
