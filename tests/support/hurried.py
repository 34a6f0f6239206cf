"""An engine whose seconds are shorter or longer, for engines that count by a clock which no test can set."""

from dataclasses import fields, replace

from storehop.deliver.operations import Answer, Leased, StoredCall, Swept
from storehop.model import RetryIn


class HurriedEngine:
    """Runs `engine` as if one second took `second_s`: durations go in shorter, and come out longer."""

    def __init__(self, engine, second_s):
        self.engine = engine
        self._second_s = second_s
        self.kind, self.remarks = engine.kind, engine.remarks
        self.where, self.most, self.patience_s = engine.where, engine.most, engine.patience_s
        self.exclusive, self.close = engine.exclusive, engine.close

    def run(self, batch):
        return [self._lengthened(result) for result in self.engine.run([self._shortened(one) for one in batch])]

    def _shortened(self, operation):
        return replace(operation, **{one.name: self._field(one.name, operation) for one in fields(operation)})

    def _field(self, name, operation):
        value = getattr(operation, name)
        match value:
            case Answer():
                return value._replace(seconds=value.seconds * self._second_s)
            case RetryIn():
                return RetryIn(value.seconds * self._second_s, value.is_spent)
        if name == "rate":
            return value / self._second_s
        return value * self._second_s if name.endswith("_s") else value

    def _lengthened(self, result):
        match result:
            case Leased():
                return result._replace(age_s=result.age_s / self._second_s)
            case Swept(oldest_s=float(oldest_s)):
                return result._replace(oldest_s=oldest_s / self._second_s)
            case StoredCall():
                return replace(result, age=result.age / self._second_s)
            case list():
                return [self._lengthened(one) for one in result]
        return result
