r"""What counts as equal, by category: points, matrices, sets, solutions and notation. As test_numerals_table.py."""

import pytest

from tests.shared.verdict_tables import Table, wrongly_judged

V = r"\begin{pmatrix}1\\-2\end{pmatrix}"
HALF = r"\begin{pmatrix} 1/2 \\ 3 \end{pmatrix}"

TABLE: Table = {
    "points": [
        ("(3,-4)", ["(x,y) = (3,-4)", "(x, y)=(3, -4)", r"\left(3,-4\right)", "P(3,-4)", "P = (3,-4)", r"\langle 3,-4 \rangle", r"(a,b)=(3,-4)",
                    "x = 3, y = -4", "y = -4, x = 3", r"x=3 \text{ and } y=-4"],
         ["(x,y) = (-4,3)", "(-4,3)", "(3,4)", "(x,y) = (3,4)", "x = -4, y = 3", "y = 3, x = -4", "(y,x) = (3,-4)", "(3,-4,0)", "3", "-1"]),
        (r"\left(3, \frac{\pi}{2}\right)", [r"(r,\theta) = (3, \pi/2)", r"(3, \frac\pi2)", r"(r, \theta) = \left(3,\frac{\pi}{2}\right)", "(3, pi/2)"],
         [r"(r,\theta) = (\pi/2, 3)", r"(3, \pi)", r"(r,\theta) = (3, -\pi/2)"]),
        ("(1,2,3)", ["(x,y,z) = (1,2,3)", "(a,b,c)=(1,2,3)", "x=1,y=2,z=3", "z=3,x=1,y=2"], ["(x,y,z) = (3,2,1)", "(1,2)", "x=1,y=3,z=2", "6"]),
        ("(1,2),(3,4)", ["(3,4),(1,2)", "(x,y) = (1,2), (3,4)", r"(1,2) \text{ and } (3,4)", r"(x,y) \in \{(1,2),(3,4)\}"],
         ["(2,1),(3,4)", "(1,2)", "(1,2),(4,3)"]),
        (r"\left(2, \frac{\pi}{3}, 1\right)", [r"(\rho,\theta,\phi) = (2,\pi/3,1)"], [r"(\rho,\theta,\phi)=(2,1,\pi/3)"]),
    ],
    "matrices": [
        (V, [r"\begin{bmatrix}1\\-2\end{bmatrix}", r"\mathbf{v} = " + V, r"\vec{v} = " + V, r"\begin{pmatrix}1\\[4pt]-2\end{pmatrix}",
             r"\begin{pmatrix} 1 \\ -2 \\ \end{pmatrix}", r"-\begin{pmatrix}-1\\2\end{pmatrix}", r"\left(\begin{array}{c}1\\-2\end{array}\right)", "A = " + V],
         [r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}-2\\1\end{pmatrix}", r"\begin{pmatrix}1&-2\end{pmatrix}", r"\mathbf{v} = -" + V,
          r"\begin{pmatrix}1\\[4pt]2\end{pmatrix}", "2" + V, "-1"]),
        (HALF, [r"\frac12\begin{pmatrix}1\\6\end{pmatrix}", r"\frac{1}{2}\begin{bmatrix}1\\6\end{bmatrix}", r"0.5\begin{pmatrix}1\\6\end{pmatrix}",
                r"\begin{pmatrix}\frac12\\[6pt]3\end{pmatrix}", r"\mathbf{x}=\frac12\begin{pmatrix}1\\6\end{pmatrix}", r"\begin{pmatrix}\dfrac{1}{2}\\3\end{pmatrix}"],
         [r"\frac13\begin{pmatrix}1\\6\end{pmatrix}", r"2\begin{pmatrix}1\\6\end{pmatrix}", r"\begin{pmatrix}1\\6\end{pmatrix}", r"\frac12\begin{pmatrix}6\\1\end{pmatrix}"]),
        (r"\begin{pmatrix}2&0\\0&2\end{pmatrix}", [r"2\begin{pmatrix}1&0\\0&1\end{pmatrix}", r"\begin{bmatrix}2&0\\[2mm]0&2\end{bmatrix}"],
         ["2", r"\begin{pmatrix}1&0\\0&1\end{pmatrix}", r"\begin{pmatrix}0&2\\2&0\end{pmatrix}", r"3\begin{pmatrix}1&0\\0&1\end{pmatrix}"]),
        (r"\frac{1}{3}\begin{pmatrix}1\\2\end{pmatrix}", [r"\begin{pmatrix}1/3\\2/3\end{pmatrix}"], [r"\begin{pmatrix}1\\2\end{pmatrix}"]),
        (r"3\mathbf{i}+4\mathbf{j}", [r"3\hat{i}+4\hat{j}", r"4\mathbf{j}+3\mathbf{i}"], ["3", "7", r"3\mathbf{i}-4\mathbf{j}", r"4\mathbf{i}+3\mathbf{j}"]),
        ("3", ["3"], [r"3\mathbf{i}+4\mathbf{j}", r"3\mathbf{i}"]),
    ],
    "unions": [
        (r"(-\infty,-5)\cup(5,\infty)", [r"x<-5 \text{ or } x>5", r"x > 5 \text{ or } x < -5", r"x<-5 \lor x>5", r"x < -5 ∨ x > 5", r"-5 > x \text{ or } 5 < x",
                                         r"x \in (-\infty,-5)\cup(5,\infty)", r"\{x \mid x<-5 \text{ or } x>5\}", r"(5,\infty)\cup(-\infty,-5)", "x<-5 or x>5"],
         [r"x \le -5 \text{ or } x>5", r"x<-5 \text{ and } x>5", "x>5", r"-5<x<5", r"x<5 \text{ or } x>-5", r"(-\infty,-5]\cup(5,\infty)", r"x<-6 \lor x>5",
          r"x > -5 \text{ or } x < 5"]),
        (r"x<-5 \text{ or } x>5", [r"(-\infty,-5)\cup(5,\infty)", r"x>5 \lor x<-5", r"x \in (-\infty,-5) \cup (5,\infty)"],
         [r"(-\infty,-5]\cup[5,\infty)", "(-5,5)", r"y<-5 \text{ or } y>5", "x>5"]),
        (r"(-\infty,0]\cup[1,2)", [r"x \le 0 \text{ or } 1 \le x < 2", r"x\leq 0 \lor 1\leqslant x<2"], [r"x<0 \text{ or } 1 \le x < 2", r"x \le 0 \text{ or } 1<x<2"]),
        (r"(-\infty,2)\cup(2,\infty)", [r"x \ne 2", r"x\neq 2", r"\{x \mid x \neq 2\}", r"\mathbb{R}\setminus\{2\}", r"x<2 \text{ or } x>2"], [r"x \ne 3", "2", r"x=2", r"\mathbb{R}"]),
        (r"(-\infty,-\sqrt{3})\cup(\sqrt3,\infty)", [r"x<-\sqrt3 \text{ or } x>\sqrt{3}"], [r"x<\sqrt3 \text{ or } x>-\sqrt{3}"]),
    ],
    "intervals": [
        ("[-3,4]", [r"\{x \mid -3 \le x \le 4\}", r"-3 \le x \le 4", r"4 \ge x \ge -3", r"\{x : -3 \le x \le 4\}", r"\{x \in \mathbb{R} \mid -3\leq x\leq 4\}", r"x \ge -3 \text{ and } x \le 4",
                    r"x \in [-3,4]", r"\{x | -3 \le x \le 4\}", "-3 <= x <= 4", r"\left\{x \,\middle|\, -3 \le x \le 4\right\}"],
         [r"\{x \mid -3 < x \le 4\}", r"-3 < x < 4", "(-3,4)", r"\{x \mid -4 \le x \le 3\}", r"\{-3,4\}", r"\{x \in \mathbb{Z} \mid -3 \le x \le 4\}", "[4,-3]"]),
        (r"(2,\infty)", ["x>2", "2<x", r"\{x \mid x>2\}", "t > 2"], [r"x \ge 2", "x<2", "x>3", "2"]),
        ("x > 2", [r"(2,\infty)", "2 < x"], ["y > 2", r"[2,\infty)", r"(-\infty,2)"]),
        (r"\emptyset", [r"\varnothing", "∅", r"\{\}", r"\{ \}"], ["0", r"\{0\}", r"\{\emptyset\}"]),
        (r"\{x \mid x>2\}", ["x>2", r"(2,\infty)", r"\{y : y>2\}"], [r"\{x\mid x\ge 2\}", "2"]),
    ],
    "solutions": [
        ("2,3", [r"x=2 \lor x=3", r"x=2 \text{ or } x=3", "3, 2", r"\{2,3\}", r"x = 2 ∨ x = 3", r"x=2 \vee x=3", r"x = 2 \quad \text{or} \quad x = 3", r"2 \text{ and } 3", "x=2, 3"],
         ["2", "3", r"x=2 \lor x=4", r"x=-2 \lor x=-3", r"x=2 \land y=4", "5", "23"]),
        ("3", ["x = 3"], [r"x=2 \lor x=3", r"x=2 \text{ or } x=3", "2,3", r"x \neq 3", "x>3"]),
        ("-2, 2", [r"\pm 2", r"x = \pm 2", "±2", r"2, -2", r"x=2 \lor x=-2"], ["2", "-2", r"\pm 3"]),
        (r"1,2,3,\ldots", [r"1, 2, 3, \dots", r"1,2,3,\cdots", "1,2,3,..."], ["1,2,3"]),
        ("1,2,3", ["3,2,1"], [r"1,2,3,\ldots", r"1,2,\dots"]),
        ("y=5", ["5", "y = 5"], ["x=5", "y=6"]),
    ],
    "notation": [
        (r"3\sqrt{2}", ["3√2", "3√(2)", "3sqrt(2)", r"3\sqrt2", "3*sqrt(2)", "√18", r"\sqrt{18}"], ["√2", "3√3", "32", "6", "2√3"]),
        ("x^4", ["x⁴", "x**4", r"x^{4}"], ["x4", "4x", "x³", "x^5"]),
        ("x^{10}", ["x¹⁰"], ["x^10 + 1", "x¹", "x^1 0"]),
        ("-5", ["－5", "−5", "–5"], ["5", "＋5"]),
        ("5", ["＋5", "５", r"\boldsymbol{5}", r"\color{red}{5}", r"\underline{5}", r"\mathbf{5}", r"{\color{blue}5}", r"\textcolor{red}{5}", r"\bm{5}", r"\mathrm{5}", r"\boxed{5}",
               r"\underline{\mathbf{5}}", r"\displaystyle 5", r"\color{red} 5", "（5）"],
         [r"\color{red}{6}", r"\boldsymbol{-5}", r"\underline{15}", r"\color{5}{6}", r"\phantom{5}6"]),
        ("e", [r"\mathrm{e}", "e^1", "{e}"], ["2.718", r"\pi", "E^2"]),
        ("e^2", [r"\mathrm{e}^2", r"\mathrm{e}^{2}"], ["2e", "e"]),
        ("i", ["1i", r"\mathrm{i}"], ["1", "-i", "2i", "-1i"]),
        ("1+i", ["1+1i", "1 + 1i", "i+1"], ["1-1i", "2", "1+11i"]),
        (r"\frac{\pi}{3}", ["pi/3", r"\pi/3", "π/3", r"\frac{pi}{3}"], ["pi/4", "3/pi", "-pi/3", "1/3"]),
        (r"\frac{5}{2}", ["2½", "5/2", "2.5", r"2\frac{1}{2}"], ["2/5", "1", "12/2", "½"]),
        (r"\sin x", ["sin x", "sin(x)", r"\sin(x)"], ["cos x", r"\sin 2x", r"-\sin x"]),
        (r"\ln 2", ["ln 2", "ln(2)", r"\ln(2)", r"\log_e 2"], ["ln 3", "0.693", "2"]),
        (r"\infty", ["∞", "infinity", r"\infty"], [r"-\infty", "0"]),
        (r"x \le 2", ["x <= 2", "x ≤ 2", r"x \leqslant 2", r"(-\infty, 2]"], ["x < 2", "x >= 2", "x = 2"]),
        (r"\frac{1}{x+1}", ["1/(x+1)", r"\dfrac{1}{x+1}", r"(x+1)^{-1}"], ["x+1", "1/x+1", r"\frac{1}{x-1}"]),
        ("2x+3", [r"\mathbf{2x+3}", r"y = 2x+3", "3+2x", r"\boldsymbol{2x + 3}"], ["3x+2", "2x-3", "2y+3"]),
        (r"-\frac{1}{2}", [r"\frac{-1}{2}", r"\frac{1}{-2}", "-0.5", "−½"], [r"\frac12", "-2"]),
        (r"\binom{5}{2}", ["10", r"\dbinom{5}{2}"], [r"\binom{2}{5}", "52"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("category", TABLE)
def test_equal(category: str) -> None:
    assert wrongly_judged(TABLE[category]) == []
