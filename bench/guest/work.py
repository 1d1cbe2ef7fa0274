"""The work of row `python`: words of a text counted, a program's own parser and evaluator, matrices, a search."""

import sys


def count_words(text):
    counts = {}
    for line in text.splitlines():
        for word in line.replace("(", " ").replace(")", " ").replace(".", " ").split():
            counts[word] = counts.get(word, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]


class Parser:
    """Sums and products of numbers, with parentheses."""

    def __init__(self, text):
        self.text, self.at = text, 0

    def peek(self):
        return self.text[self.at] if self.at < len(self.text) else ""

    def take(self):
        self.at += 1
        return self.text[self.at - 1]

    def expression(self):
        value = self.term()
        while self.peek() in ("+", "-"):
            value = value + self.term() if self.take() == "+" else value - self.term()
        return value

    def term(self):
        value = self.factor()
        while self.peek() == "*":
            self.take()
            value = value * self.factor() % 1000003
        return value

    def factor(self):
        if self.peek() == "(":
            self.take()
            value = self.expression()
            self.take()
            return value
        start = self.at
        while self.peek().isdigit():
            self.take()
        return int(self.text[start:self.at])


def multiply(a, b):
    columns = list(zip(*b))
    return [[sum(x * y for x, y in zip(row, column)) for column in columns] for row in a]


def queens(size, row=0, columns=0, left=0, right=0):
    if row == size:
        return 1
    found = 0
    for column in range(size):
        bit = 1 << column
        if not (columns & bit or left & 1 << (row + column) or right & 1 << (row - column + size)):
            found += queens(size, row + 1, columns | bit, left | 1 << (row + column), right | 1 << (row - column + size))
    return found


def main():
    for word, count in count_words(sys.stdin.read()[:1_000_000]):
        print(word, count)
    print(Parser("+".join(f"({i}*{i + 1}-{i % 7}*(3+{i}))" for i in range(2000))).expression())
    matrix = [[(x * y + 1) / 7 for x in range(30)] for y in range(30)]
    print(f"{sum(map(sum, multiply(matrix, multiply(matrix, matrix)))):.6f}")
    print(queens(7))


main()
