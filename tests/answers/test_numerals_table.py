r"""What counts as equal, by category: numbers, units and words. gold: answers that are right, answers that are wrong.

Each answer stands in a box, as LaTeX that models write; docs/answers.md gives the rules.
"""

import pytest

from tests.shared.verdict_tables import Table, wrongly_judged

TABLE: Table = {
    "numerals beside each other": [
        ("7", ["3 + 4", "7"], [r"3 \quad 4", "3 4", r"3\ 4", "3~4", "3\\\\4", "{3}{4}", "3{4}", r"3 \qquad 4",
         r"3\;4"]),
        ("12", ["3(4)", "(3)(4)", r"3 \cdot 4"], [r"3 \quad 4", "3 4", r"3\,4", r"x = 3 \quad 4", r"\text{3 4}"]),
        ("6", ["1+2+3", "2(3)"], ["1 2 3", r"1 \quad 2 \quad 3", r"1\,2\,3", r"2 \hspace{1cm} 3"]),
        ("5", ["x=5", "10(0.5)"], [r"x=2 \quad 3", r"x = 2 \quad x = 3", "2(3)", "(2)(3)", "2 3", r"2 \enspace 3"]),
        ("201", ["201"], [r"1\,200", "1 200", "1{,}200"]),
        ("34", ["34"], ["3 4", "{3}{4}", r"3\quad 4", r"\boldsymbol{3}\boldsymbol{4}"]),
        ("4.5", ["4.5", "9/2"], ["1.5 3", r"1.5 \quad 3", "1.5.3"]),
        (r"\frac{1}{6}", [r"\frac12\cdot\frac13", r"\frac12 \frac13"], [r"\frac12 \quad \frac13", r"\frac{1}{2} 3"]),
        (r"\frac{11}{2}", ["5.5", r"5\frac12"], [r"3\frac52", "3 5/2"]),
        ("72", [r"2^3 \cdot 3^2", "2^{3}3^{2}"], [r"8 \quad 9", "8 9"]),
    ],
    "mixed numbers": [
        (r"\frac{7}{2}", [r"3 \frac12", r"3\frac{1}{2}", "3 1/2", "3½", "x = 3 1/2"], [r"3 \frac13", r"\frac32", "1.5",
         "31/2"]),
        (r"3\frac14", ["13/4", "3.25", "3 1/4", r"3 \tfrac14", "3¼"], [r"\frac34", "4/13", "3.5", "-3.25"]),
        (r"-2\frac{1}{2}", ["-2.5", "-5/2", "-2 1/2", "−2½"], ["-1.5", "2.5", "-1"]),
        (r"\frac{5\pi}{2}", [r"2\frac12\pi", r"2½π"], [r"2\pi", r"\frac{\pi}{2}"]),
    ],
    "thousands": [
        ("12000", [r"12\,000", "12{,}000", r"12,\!000", "12,000", "12 000", "12\u202f000", "12\u2009000",
         "12\u00a0000", r"12\ 000",
                   r"12\;000", "12~000"], [r"12\,00", "12,00", "12", "12.000", r"12\,001", "12 0000"]),
        ("1250", [r"x = 1{,}250", r"x=1\,250", r"1\,250", "x = 1,250", r"\$1{,}250"], ["251", r"x = 1{,}25", "1.25",
         r"1\,205"]),
        (r"1000\pi", [r"1{,}000\pi", r"1\,000\pi", r"1,000\pi", r"1000π"], [r"\pi", r"1{,}00\pi", r"100\pi"]),
        ("(1000, 2)", [r"(1{,}000, 2)", r"(1\,000, 2)"], ["(1,0,2)", r"(2, 1{,}000)", "(1, 000, 2)"]),
        (r"\frac{3}{2000}", ["3/2,000", r"\frac{3}{2{,}000}", r"\frac{3}{2,000}", r"3/2\,000"], ["3/2", "3/200",
         "2000/3"]),
        ("1234567", ["1,234,567", r"1\,234\,567", "1 234 567", r"1{,}234{,}567"], ["1,234,56", "1234", "567"]),
        ("1234567.5", ["1,234,567.5", r"1\,234\,567.5"], ["1,234,567", "12345675"]),
        (r"10,\!080", ["10080", "10,080", r"10\,080"], ["10,08", "80", "90"]),
        ("(1,250)", ["(1, 250)", r"\left(1,250\right)"], ["1250", "(250,1)"]),
        ("3, 5, 7", ["3,5,7", r"\{3,5,7\}"], ["357", "3,57"]),
        (r"x^2+1000", [r"x^2 + 1{,}000", "x^2+1,000"], ["x^2+1", r"x^2+1{,}00"]),
    ],
    "units": [
        ("5", [r"\text{5 cm}", r"5 \text{ cm}", r"5\,\text{cm}", r"5\mathrm{~cm}", r"\text{5 apples}",
         r"5 \quad \text{cm}"],
         [r"\text{6 cm}", r"\text{5 and 6}", r"\text{5 or 6}", r"-5 \text{ cm}", r"\text{15 cm}"]),
        (r"5 \text{ cm}", ["5", r"\text{5 cm}", r"\text{5 centimeters}", r"5cm"], [r"\text{5 m}", r"5 \text{ cm}^2",
         "6"]),
        (r"18 \text{ dollars}", [r"\$18", r"\text{18 dollars}", r"\text{\$18}", "18"], [r"18 \text{ cents}", "81"]),
        ("25", [r"\text{25 square feet}", r"25 \text{ ft}^2", r"25\text{ units}^2"], [r"\text{52 square feet}"]),
        ("20", [r"\text{20\%}", r"20\%", r"20 \text{ percent}", r"\text{20 percent}"], [r"\text{2\%}",
         r"\text{0.2\%}"]),
        (r"20\%", ["0.2", "20", r"\text{20\%}", "1/5"], ["2", "0.02", r"0.2\%", r"200\%"]),
        ("60", [r"60\degree", r"60^\circ", r"60^{\circ}", "60°", r"60 \text{ degrees}", r"\text{60 degrees}"],
         [r"6\degree", r"60\pi"]),
        (r"60^\circ", [r"60\degree", r"60\degrees", "60", r"\text{60 degrees}"], [r"\frac{\pi}{3}", r"30\degree",
         r"60 \text{ radians}"]),
        (r"-\$5", ["-5", r"-\$5.00", r"\text{-5 dollars}"], ["5", r"\$5"]),
    ],
    "bases": [
        ("110_2", [r"110_{\text{two}}", "(110)_2", r"\text{110}_2", r"110_{two}", r"110_{(2)}", r"110_\text{two}",
         r"(110)_{\text{two}}",
                   r"110_{\text{base }2}", r"110 \text{ (base 2)}", r"110 \text{ base } 2"],
         ["110", "6", r"110_{\text{three}}", "(101)_2", "110_3", "110_{12}", "11_2"]),
        ("2A_{16}", [r"2\text{A}_{16}", r"\text{2A}_{16}", r"2\mathrm{A}_{16}", "2a_{16}", r"(2A)_{16}",
         r"2A_{\text{sixteen}}",
                     r"\mathrm{2A}_{16}"], ["42", "2A", "2B_{16}", "A2_{16}", r"2A_{12}", "2_{16}"]),
        (r"4210_{\text{five}}", ["4210_5", "4210_{5}", r"(4210)_{5}"], ["4210", "4210_6", "421_5"]),
        ("FF_{16}", [r"\text{FF}_{16}", r"(FF)_{16}"], ["FE_{16}", "255", "FF"]),
        ("110", ["110", "110_{10}", r"110_{\text{ten}}"], ["110_2", r"110_{\text{two}}", "(110)_2"]),
    ],
    "ordinals": [
        ("12", [r"12^{\text{th}}", "12th", r"12\text{th}", r"12^\text{th}", "12^{th}", r"\text{12th}",
         r"12^{\mathrm{th}}"],
         [r"12^{t}", "21st", r"13^{\text{th}}", "12^2", r"12^{h}"]),
        ("2", ["2nd", r"2^{\text{nd}}", r"2\text{nd}", r"\text{2nd}"], ["2^n", "2n", "3rd", "2^{d}"]),
        (r"2^{\text{nd}}", ["2", "2nd"], ["3rd", "22nd", "2n"]),
        ("21", ["21st", r"21^{\text{st}}"], ["2st", "12th"]),
    ],
    "times and ratios": [
        (r"4:30 \text{ p.m.}", [r"\text{4:30 PM}", r"4{:}30\text{ pm}", "4:30 p.m.", r"\text{4:30 p.m.}",
         r"4:30\,\text{PM}", "4:30pm"],
         [r"\text{4:30 AM}", r"4:03 \text{ p.m.}", "4:30", "4.5", r"5:30 \text{ p.m.}", "430"]),
        ("9:24", ["9{:}24", r"\text{9:24}", "9 : 24", r"9\colon 24"], ["9:42", "9.24", "24:9", "9/24", "924"]),
        ("3:1", ["3 : 1", "3{:}1", r"3 \text{ to } 1", r"\text{3:1}", r"3\colon 1"], ["1:3", "6:2", "3", "31", "3/1",
         "3:2"]),
        ("2:3:5", ["2 : 3 : 5", "2{:}3{:}5"], ["2:5:3", "2:3", "4:6:10"]),
    ],
    "repeating decimals": [
        (r"\frac{1}{3}", [r"0.\overline{3}", r"0.\bar3", r"0.\bar{3}", r"0.\dot{3}", r"0.(3)", r"0.333\ldots",
         "0.3333...", r".\overline{3}",
                          r"0.3\overline{3}", "0.333333"], ["0.3", "0.33", r"0.\overline{33}4", r"0.\overline{4}",
                          r"3.\overline{3}", "0.03"]),
        (r"0.1\overline{6}", [r"\frac16", "1/6", r"0.1666\ldots", "0.166666667"], [r"0.\overline{16}", "0.16", "0.17",
         r"\frac{1}{60}"]),
        (r"0.\overline{142857}", [r"\frac17", r"\frac{1}{7}"], [r"0.1\overline{42857}", "0.14", "7"]),
        (r"0.\overline{27}", ["3/11", r"0.2727\ldots", r"0.\overline{2727}"], ["0.27", r"0.2\overline{7}",
         r"0.\overline{72}"]),
        ("1", [r"0.\overline{9}", r"0.999\ldots"], ["0.9", "0.99"]),
        (r"-\frac{25}{12}", [r"-2.08\overline{3}", r"-2.08\bar{3}"], [r"2.08\overline{3}", "-2.083"]),
        (r"33\frac13\%", [r"33.\overline{3}\%", r"\frac{100}{3}\%", r"33.\overline{3}"], [r"33\%",
         r"3.\overline{3}\%"]),
    ],
    "powers of ten": [
        ("45000000", ["4.5e7", "4.5E7", r"4.5 \times 10^7", r"4.5 \cdot 10^{7}", "45,000,000", r"4.5×10⁷"], ["4.5e6",
         "4.5", "4.5e", r"4.5 \times 10^6"]),
        (r"4.5 \times 10^{7}", ["4.5e7", "45000000", r"45\times10^6"], ["4.5e8", r"4.5\times 7^{10}"]),
        ("0.0012", ["1.2e-3", r"1.2\times10^{-3}", r"1.2 \cdot 10^{-3}"], ["1.2e3", "1.2e-4"]),
    ],
    "decimals": [
        ("0.5", [".5", "1/2", "0.50", r"\frac12", "½"], ["5", "0.05", "2"]),
        (r"\frac{14}{3}", ["4.666667", r"4\frac23", r"4.\overline{6}"], ["4.67", "4.6", "14"]),
        (r"\sqrt{2}", [r"2^{1/2}", "√2", r"\sqrt2"], ["1.414", "1.4142", "2"]),
        (r"\pi", ["π", "pi"], ["3.14", "3.1416", r"3.14\ldots", "22/7"]),
    ],
    "words": [
        (r"\text{Evelyn}", ["Evelyn", r"\textbf{Evelyn}", r"\mathrm{Evelyn}", r"\text{ evelyn }"], [r"\text{Carla}",
         "E", "5"]),
        (r"\text{(C)}", ["C", r"\textbf{C}", r"(\text{C})", r"\text{C}", r"\mathrm{C}"], ["D", "(B)",
         r"\text{(C) or (D)}"]),
        ("5", [r"\text{The answer is } 5", r"\text{The answer is 5}", r"\text{Answer: }5", "The answer is 5",
         r"\text{The final answer is: }5",
               r"\text{Answer} = 5", r"\text{Area} = 5", "Area = 5", r"\text{total }= 5"],
         [r"\text{The answer is } 6", r"\text{The answer is } -5", r"\text{The answer is not } 5", "Area = 6"]),
        (r"\text{even}", ["even", r"\text{Even}", r"\text{The answer is }\text{even}"], [r"\text{odd}",
         r"\text{not even}"]),
        (r"\text{no solution}", [r"\text{No solution}"], [r"\text{one solution}", "0"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("category", TABLE)
def test_equal(category: str) -> None:
    assert wrongly_judged(TABLE[category]) == []
