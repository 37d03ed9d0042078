"""What a study is asked and decides before it trains: sizes, arms, steps, rates, seeds."""
