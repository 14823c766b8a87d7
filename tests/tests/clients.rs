//! Client programs and libraries of others talk through the broker in every version and QoS they know.
