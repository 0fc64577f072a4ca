"""What others charge: a dated book of API prices, priced requests and usage, and the hourly rates of hardware."""
